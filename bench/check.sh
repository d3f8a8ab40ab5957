#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# check.sh [write]: measures the figures that are the same in each run, and compares them with
# bench/budgets.json (bench/budget.py). Without valgrind, user space is skipped. With `write`, the
# measured figures become the budget.
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
if ! KERNELS="6.1 bookworm" bench/kernel.sh QUICK > "$t/kernel.json"; then
  echo "FAILED budget: the guest printed no measurement"
  echo "0 passed, 1 failed, 0 skipped"
  exit 1
fi
python3 bench/budget.py "$t" "$@"
