#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bench/run.sh [micro|user|kernel|throughput|host|scale] [--json FILE]: builds, measures, prints a table; writes JSON too if asked to. All of them where none is named.
#   micro       decoding and joining; time and memory of one sandbox's tables, and of collecting metrics
#   user        instructions of user space for each event, from the ring's record on, and for each log record that is encoded: callgrind, over a recorded capture; valgrind
#   kernel      guest instructions for each kind of event on Debian's 6.1 and 6.12 in QEMU under -icount, beside programs that do nothing, tcpconnect,
#               execsnoop (libbpf-tools) and bpftrace where they are installed; some minutes
#   throughput  events and log records that one core takes, beside the OpenTelemetry Collector that tests/e2e/peers.sh builds, where it is there; root
#   host        what being watched costs programs on this machine, as ratios; root, and dnsperf where it is installed
#   scale       memory, start and cost of an event with up to 10,000 sandboxes; idle; size of the binary; root
# What comes out the same each time has a budget: bench/check.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
all=(micro user kernel throughput host scale)
usage() { echo "usage: bench/run.sh [${all[*]}] [--json FILE]" >&2; exit 2; }
parts=() json=/dev/null
while [ $# -gt 0 ]; do
  case $1 in
    --json) [ $# -ge 2 ] || usage; json=$2; shift 2 ;;
    *) [[ " ${all[*]} " == *" $1 "* ]] || usage; parts+=("$1"); shift ;;
  esac
done
[ ${#parts[@]} -gt 0 ] || parts=("${all[@]}")
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
bazel build --noshow_progress //userspace:sandpiper //bench:all >&2
sandpiper=$PWD/bazel-bin/userspace/sandpiper bin=$PWD/bazel-bin/bench
otelcol=${SANDPIPER_CACHE:-/var/cache/sandpiper}/peers/otelcol
for part in "${parts[@]}"; do
  echo "== $part"
  case $part in
    micro)
      "$bin/micro" --benchmark_counters_tabular=true --benchmark_out="$t/micro.json" --benchmark_out_format=json
      "$bin/decode" --benchmark_out="$t/decode.json" --benchmark_out_format=json
      continue
      ;;
    user)
      command -v valgrind > /dev/null || { echo "run.sh: valgrind is not installed" >&2; exit 1; }
      zcat bench/events.capture.gz > "$t/capture"
      python3 bench/user.py "$sandpiper" "$bin/encode" "$t/capture" > "$t/user.json"
      ;;
    kernel) bench/kernel.sh > "$t/kernel.json" ;;
    throughput) python3 bench/throughput.py "$sandpiper" "$bin/load" "$bin/send" "$bin/null_sink" $([ -x "$otelcol" ] && echo "$otelcol") > "$t/throughput.json" ;;
    host) python3 bench/host.py "$sandpiper" "$bin/load" > "$t/host.json" ;;
    scale) python3 bench/scale.py "$sandpiper" "$bin/load" > "$t/scale.json" ;;
  esac
  python3 bench/table.py "$part" "$t/$part.json"
done
python3 bench/table.py join "$t" > "$json"
