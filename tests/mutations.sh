#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# mutations.sh [PATTERN]: checks that the unit tests notice faults. Each patch in tests/mutations
# puts one fault into the code, and its first line names the test that must fail. The patches are
# applied one by one to a copy of the working tree. Takes about ten minutes on two cores. Ends with
# "N passed, N failed, 0 skipped".
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

copy=$(mktemp -d)
# A server of its own: it keeps what it built for the next run.
bazel=(bazel "--output_base=${SANDPIPER_CACHE:-/var/cache/sandpiper}/bazel-mutations")
finish() {
  (cd "$copy" && "${bazel[@]}" shutdown)
  rm -rf "$copy"
}
trap finish EXIT
git ls-files -z | xargs -0 cp --parents --no-dereference -t "$copy"
[ ! -f user.bazelrc ] || cp user.bazelrc "$copy"

passed=0
failed=0
report() {  # report ok|FAIL NAME [REASON]
  echo "$1 mutations.$2${3:+: $3}"
  if [ "$1" = ok ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

# Bazel exits with 0 if the test passes, and with 3 if it was built and fails.
run_test() {
  (cd "$copy" && "${bazel[@]}" test --noshow_progress --test_output=summary "//tests/unit:$1") \
    > "$copy/log" 2>&1
}

declare -A without_fault
for patch in tests/mutations/*"${1:-}"*.patch; do
  name=$(basename "$patch" .patch)
  test=$(sed -n '1s/^Killed-by: //p' "$patch")
  if [ -z "${without_fault[$test]:-}" ]; then
    run_test "$test"
    without_fault[$test]=$?
  fi
  if [ "${without_fault[$test]}" != 0 ]; then
    report FAIL "$name" "$test fails without the fault"
    continue
  fi
  if ! patch -d "$copy" -p1 --silent < "$patch" > /dev/null; then
    report FAIL "$name" "the patch does not apply; write it again for the current code"
    git ls-files -z userspace | xargs -0 cp --parents -t "$copy"
    continue
  fi
  run_test "$test"
  case $? in
    3) report ok "$name" ;;
    0) report FAIL "$name" "$test does not notice the fault" ;;
    *) report FAIL "$name" "the fault does not compile: $(grep -m1 error: "$copy/log")" ;;
  esac
  patch -d "$copy" -p1 --silent --reverse < "$patch" > /dev/null
done
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
