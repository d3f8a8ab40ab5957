#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tidy.sh BASE: runs clang-tidy on the C++ sources that changed since BASE, or on all with --all.
# The build has to have generated its headers before. A change of more than 40 sources would take
# longer than a presubmit may: it reads the 40 with the most changed lines, and says so.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ "$1" = --all ]; then
  mapfile -t files < <(git ls-files '*.cc')
else
  mapfile -t files < <(git diff --numstat --no-renames --diff-filter=d "$1" -- '*.cc' |
    sort -k1,1nr -k3 | cut -f3)
  if [ ${#files[@]} -gt 40 ]; then
    printf 'note: reads 40 of %d changed files; presubmit.sh --all reads all\n' ${#files[@]}
    files=("${files[@]:0:40}")
  fi
fi
[ ${#files[@]} -gt 0 ] || exit 0
# spdlog's macros are those of base/BUILD.bazel.
printf '%s\0' "${files[@]}" | xargs -0 -P "$(nproc)" -I {} clang-tidy --quiet {} -- \
  -std=c++20 -I. -Ibazel-bin -Ibazel-bin/proto -DNDEBUG -D_GNU_SOURCE \
  -DSPDLOG_COMPILED_LIB -DSPDLOG_FMT_EXTERNAL -DSPDLOG_SHARED_LIB
