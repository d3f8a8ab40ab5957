#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bench/run.sh [micro|user|kernel|throughput|host|scale] [--json FILE]
# Builds, measures and prints tables; with --json it also writes the figures to FILE. Without a part
# it measures all of them:
#   micro       decoding and correlation; time and memory of a sandbox's tables; collecting metrics
#   user        user-space instructions for each event and for each encoded log record, by callgrind
#               over a recorded capture; needs valgrind
#   kernel      guest instructions for each kind of event, on Debian's 6.1 and 6.12 in QEMU under
#               -icount. It compares with programs that do nothing and, where they are installed,
#               with tcpconnect, execsnoop (libbpf-tools) and bpftrace. Takes some minutes
#   throughput  events and log records that one core can process. It compares with the OpenTelemetry
#               Collector of tests/e2e/peers.sh, where that is built; needs root
#   host        the cost for watched programs on this machine, as ratios; needs root, and uses
#               dnsperf where it is installed
#   scale       memory, start time and cost of an event with up to 10,000 sandboxes; an idle
#               collector; size of the binary; needs root
# Figures that are the same in each run have a budget: bench/check.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
all=(micro user kernel throughput host scale)
usage() { echo "usage: bench/run.sh [${all[*]}] [--json FILE]" >&2; exit 2; }
parts=()
json=/dev/null
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
sandpiper=$PWD/bazel-bin/userspace/sandpiper
bin=$PWD/bazel-bin/bench
otelcol=()
peer=${SANDPIPER_CACHE:-/var/cache/sandpiper}/peers/otelcol
if [ -x "$peer" ]; then otelcol=("$peer"); fi
for part in "${parts[@]}"; do
  echo "== $part"
  case $part in
    micro)
      "$bin/micro" --benchmark_counters_tabular=true --benchmark_out="$t/micro.json" \
        --benchmark_out_format=json
      "$bin/decode" --benchmark_out="$t/decode.json" --benchmark_out_format=json
      continue
      ;;
    user)
      if ! command -v valgrind > /dev/null; then
        echo "run.sh: valgrind is not installed" >&2
        exit 1
      fi
      zcat bench/events.capture.gz > "$t/capture"
      python3 bench/user.py "$sandpiper" "$bin/encode" "$t/capture" > "$t/user.json"
      ;;
    kernel) bench/kernel.sh > "$t/kernel.json" ;;
    throughput)
      python3 bench/throughput.py "$sandpiper" "$bin/load" "$bin/send" "$bin/null_sink" \
        "${otelcol[@]}" > "$t/throughput.json"
      ;;
    host) python3 bench/host.py "$sandpiper" "$bin/load" > "$t/host.json" ;;
    scale) python3 bench/scale.py "$sandpiper" "$bin/load" > "$t/scale.json" ;;
  esac
  python3 bench/table.py "$part" "$t/$part.json"
done
python3 bench/table.py join "$t" > "$json"
