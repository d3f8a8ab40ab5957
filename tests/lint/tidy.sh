#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tidy.sh BASE: runs clang-tidy on the C++ sources that changed since BASE, or on all with --all.
# The build has to have generated its headers before.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ "$1" = --all ]; then
  mapfile -t files < <(git ls-files '*.cc')
else
  mapfile -t files < <(git diff --name-only --diff-filter=d "$1" -- '*.cc')
fi
[ ${#files[@]} -gt 0 ] || exit 0
# spdlog's macros are those of base/BUILD.bazel.
printf '%s\0' "${files[@]}" | xargs -0 -P "$(nproc)" -I {} clang-tidy --quiet {} -- \
  -std=c++20 -I. -Ibazel-bin -Ibazel-bin/proto -DNDEBUG -D_GNU_SOURCE \
  -DSPDLOG_COMPILED_LIB -DSPDLOG_FMT_EXTERNAL -DSPDLOG_SHARED_LIB
