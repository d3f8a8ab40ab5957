#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# presubmit.sh [BASE]: the quick checks of a change, in under five minutes on a tree that is built.
# CONTRIBUTING.md asks for it before each pull request, and .ci/run calls it first.
# BASE is the commit that the change starts from: the merge base with origin/main by default, or
# the parent commit where both are the same. clang-tidy reads the files that changed since then, 40
# at most; with --all as BASE it reads every file (an hour). All other checks read the whole tree.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
cache=${SANDPIPER_CACHE:-/var/cache/sandpiper}
base=${1:-}
failed=()

# NAME COMMAND…: runs one check. Prints its notes, and all of its output only where it fails.
check() {
  local name=$1 log started=$SECONDS
  shift
  log=$(mktemp)
  if "$@" > "$log" 2>&1; then
    printf 'ok    %s (%d s)\n' "$name" $((SECONDS - started))
    sed -n 's/^note: /      /p' "$log"
  else
    printf 'FAIL  %s (%d s)\n' "$name" $((SECONDS - started))
    sed 's/^/      /' "$log" | tail -60
    failed+=("$name")
  fi
  rm -f "$log"
}

# Leaves `base` empty where the history ends with HEAD, as in a shallow clone.
find_base() {
  [ -z "$base" ] || return 0
  base=$(git merge-base HEAD origin/main 2> /dev/null)
  [ -n "$base" ] && [ "$base" != "$(git rev-parse HEAD)" ] && return 0
  base=$(git rev-parse -q --verify HEAD~1)
}

shell_files() {
  git grep -lE '^#!(/usr/bin/env bash|/bin/sh|/bin/bash|/bin/busybox sh)' -- . ':!*.md'
}
c_files() { git ls-files '*.c' '*.cc' '*.h'; }

check_format() { c_files | xargs clang-format --dry-run -Werror; }
check_python() {
  tests/lint/ruff.sh "$cache/lint" format --check --quiet . || return 1
  tests/lint/ruff.sh "$cache/lint" check --quiet .
}
check_shell() { shell_files | xargs shellcheck; }
# The tidy checks need the headers that the build generates, and the unit tests build them.
check_units() {
  bazel build --noshow_progress //proto:all //bpf:all //userspace/command:report_page || return 1
  bazel test --noshow_progress --test_output=errors //tests/unit:all
}
check_tidy() { tests/lint/tidy.sh "$base"; }

find_base
check "clang-format" check_format
check "ruff" check_python
check "shellcheck" check_shell
check "licences, line lengths, prose" python3 tests/lint/text.py
check "layers" python3 tests/lint/layers.py
check "lint's own tests" python3 tests/lint/lint_test.py
check "unit tests" check_units
if [ -z "$base" ]; then
  echo "skip  commit subjects, clang-tidy: the history has no commit before this one"
else
  if [ "$base" != --all ]; then check "commit subjects" tests/lint/commits.sh "$base"; fi
  check "clang-tidy since ${base:0:12}" check_tidy
fi

if [ ${#failed[@]} -gt 0 ]; then
  printf 'presubmit: %d checks failed in %d s: %s\n' ${#failed[@]} $SECONDS "${failed[*]}"
  exit 1
fi
printf 'presubmit: all checks passed in %d s\n' $SECONDS
