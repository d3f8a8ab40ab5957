#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh [SECONDS [TARGET…]]: builds the fuzz targets with clang, libFuzzer, ASan and UBSan. Runs
# each one for SECONDS (default 60), starting from its corpus. Inputs that crash a target are left
# in FINDINGS (default /tmp/sandpiper-fuzz). With KEEP=1, inputs that reach new code are added to
# the corpus. Ends with "N passed, N failed, N skipped".
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
seconds=${1:-60}
shift
targets=("$@")
findings=${FINDINGS:-/tmp/sandpiper-fuzz}
passed=0
failed=0
mkdir -p "$findings"
if [ ${#targets[@]} -eq 0 ]; then
  for source in tests/fuzz/*_fuzz.cc; do targets+=("$(basename "$source" _fuzz.cc)"); done
fi
# Another Bazel server keeps the build with gcc, which the change of the compiler would discard.
labels=()
for target in "${targets[@]}"; do labels+=("//tests/fuzz:${target}_fuzz"); done
bazel=(bazel "--output_base=${SANDPIPER_CACHE:-/var/cache/sandpiper}/bazel-fuzz")
if ! "${bazel[@]}" build --noshow_progress --config=fuzz "${labels[@]}" 2>&1; then
  echo "0 passed, 1 failed, 0 skipped"
  exit 1
fi
binaries=$("${bazel[@]}" info --config=fuzz bazel-bin 2> /dev/null)/tests/fuzz
"${bazel[@]}" shutdown
for target in "${targets[@]}"; do
  new=$(mktemp -d)
  log=$findings/$target.log
  # LeakSanitizer ignores memory that libraries allocate once and never free. Leaks of sandpiper
  # grow with each input, and so they exceed the limit of the memory.
  if UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 ASAN_OPTIONS=detect_leaks=1 \
    "$binaries/${target}_fuzz" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10 \
    -max_len=16384 -artifact_prefix="$findings/$target-" -print_final_stats=1 \
    "$new" "tests/fuzz/corpus/$target" > "$log" 2>&1; then
    passed=$((passed + 1))
    echo "ok   fuzz.$target ($(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs)"
  else
    failed=$((failed + 1))
    echo "FAIL fuzz.$target"
    tail -40 "$log"
  fi
  if [ "${KEEP:-}" = 1 ]; then
    "$binaries/${target}_fuzz" -merge=1 "tests/fuzz/corpus/$target" "$new" > /dev/null 2>&1
  fi
  rm -rf "$new"
done
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
