#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# check.sh [write]: measures what comes out the same each time, and compares it with bench/budgets.json (bench/budget.py). Without valgrind, user space is
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
else
  echo "skip budget: user space: valgrind is not installed"
fi
KERNELS="6.1 bookworm" bench/kernel.sh QUICK > "$t/kernel.json" || { echo "FAILED budget: the guest measured nothing"; echo "0 passed, 1 failed, 0 skipped"; exit 1; }
python3 bench/budget.py "$t" "$@"
