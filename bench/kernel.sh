#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# kernel.sh [QUICK]: guest instructions for each kind of event, by bench/kernel.py on stock kernels under -icount, one JSON object a line. QUICK: without
# the peers. KERNELS="NAME SUITE": that one alone.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${SANDPIPER_CACHE:-/var/cache/sandpiper}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
kernels=("6.1 bookworm" "6.12 bookworm-backports")
[ -z "${KERNELS:-}" ] || kernels=("$KERNELS")
for kernel in "${kernels[@]}"; do
  read -r name suite <<< "$kernel"
  tests/vm/kernel.sh "$suite" linux-image-amd64 "$cache/linux-$name" >&2
  tests/vm/initrd.sh "$cache/linux-$name.initrd" "$cache/linux-$name"
  command="cd $PWD && python3 bench/kernel.py bazel-bin/userspace/sandpiper bazel-bin/bench/load bazel-bin/bench/empty ${1:-}"
  ICOUNT=1 LIMIT=1500 tests/vm/boot.sh "$cache/linux-$name" "$cache/linux-$name.initrd" "${command// /+}" 2>&1 | sed -u 's/\r//' > "$log"
  sed -n 's/^.*bench {/{/p' "$log" | grep . || { echo "kernel.sh: the guest of $name measured nothing:" >&2; tail -20 "$log" >&2; exit 1; }
done
