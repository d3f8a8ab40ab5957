#!/usr/bin/env bash
# bench/run.sh [micro|user|kernel] [--json FILE]: builds, measures, prints a table; writes JSON too if asked to. All of them where none is named.
#   micro   decoding and joining; time and memory of one sandbox's tables, and of collecting metrics
#   user    instructions of user space for each event, from the ring's record on: callgrind over a capture that is recorded first; root, valgrind
#   kernel  guest instructions for each kind of event on Debian's 6.1 and 6.12 in QEMU under -icount, beside programs that do nothing, tcpconnect,
#           execsnoop (libbpf-tools) and bpftrace where they are installed; a quarter of an hour
set -euo pipefail
cd "$(dirname "$0")/.."
usage() { echo "usage: bench/run.sh [micro|user|kernel] [--json FILE]" >&2; exit 2; }
parts=() json=/dev/null
while [ $# -gt 0 ]; do
  case $1 in
    micro | user | kernel) parts+=("$1"); shift ;;
    --json) [ $# -ge 2 ] || usage; json=$2; shift 2 ;;
    *) usage ;;
  esac
done
[ ${#parts[@]} -gt 0 ] || parts=(micro user kernel)
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
bazel build --noshow_progress //userspace:sandpiper //bench:all //tests/triggers //tests/e2e:otlp_sink >&2
sandpiper=$PWD/bazel-bin/userspace/sandpiper
for part in "${parts[@]}"; do
  echo "== $part"
  case $part in
    micro)
      bazel-bin/bench/micro --benchmark_counters_tabular=true --benchmark_out="$t/micro.json" --benchmark_out_format=json
      bazel-bin/bench/decode --benchmark_out="$t/decode.json" --benchmark_out_format=json
      ;;
    user)
      command -v valgrind > /dev/null || { echo "run.sh: valgrind is not installed" >&2; exit 1; }
      python3 bench/record.py "$sandpiper" bazel-bin/tests/triggers/triggers bazel-bin/tests/e2e/otlp_sink "$t/capture" >&2
      python3 bench/user.py "$sandpiper" "$t/capture" > "$t/user.json"
      python3 bench/table.py user "$t/user.json"
      ;;
    kernel)
      bench/kernel.sh > "$t/kernel.json"
      python3 bench/table.py kernel "$t/kernel.json"
      ;;
  esac
done
python3 bench/table.py join "$t" > "$json"
