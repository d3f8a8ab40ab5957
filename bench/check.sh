#!/usr/bin/env bash
# check.sh [write]: measures what comes out the same each time, and compares it with bench/budgets.json (bench/budget.py). User space needs valgrind; what is missing is
# skipped. `write`: what was measured becomes the budget.
set -euo pipefail
cd "$(dirname "$0")/.."
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
bazel build --noshow_progress //userspace:sandpiper //bench:encode //bench:load //bench:empty >&2
sandpiper=$PWD/bazel-bin/userspace/sandpiper
strip -o "$t/stripped" "$sandpiper"
echo "{\"stripped\": $(stat -c %s "$t/stripped")}" > "$t/size.json"
if command -v valgrind > /dev/null; then
  zcat bench/events.capture.gz > "$t/capture"
  python3 bench/user.py "$sandpiper" bazel-bin/bench/encode "$t/capture" > "$t/user.json"
fi
KERNELS="6.1 bookworm" bench/kernel.sh QUICK > "$t/kernel.json" || rm -f "$t/kernel.json"
python3 bench/budget.py "$t" "$@"
