#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# kernel.sh [QUICK]: measures guest instructions for each kind of event. It runs bench/kernel.py on
# stock kernels under -icount, and prints one JSON object a line. QUICK leaves out the other tools.
# KERNELS="NAME SUITE" in the environment selects one kernel.
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
  programs="bazel-bin/userspace/sandpiper bazel-bin/bench/load bazel-bin/bench/empty"
  command="cd $PWD && python3 bench/kernel.py $programs ${1:-}"
  # boot.sh takes the command with + for blanks.
  ICOUNT=1 LIMIT=1500 tests/vm/boot.sh "$cache/linux-$name" "$cache/linux-$name.initrd" \
    "${command// /+}" 2>&1 | sed -u 's/\r//' > "$log"
  if ! sed -n 's/^.*bench {/{/p' "$log" | grep .; then
    echo "kernel.sh: the guest with Linux $name printed no measurement:" >&2
    tail -20 "$log" >&2
    exit 1
  fi
done
