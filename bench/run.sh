#!/usr/bin/env bash
# bench/run.sh [micro] [--json FILE]: builds, measures, prints a table; writes JSON too if asked to.
#   micro   aggregation: time and memory of one sandbox's tables, and of collecting metrics
set -euo pipefail
cd "$(dirname "$0")/.."
usage() { echo "usage: bench/run.sh [micro] [--json FILE]" >&2; exit 2; }
json=()
while [ $# -gt 0 ]; do
  case $1 in
    micro) shift ;;
    --json) [ $# -ge 2 ] || usage; json=(--benchmark_out="$2" --benchmark_out_format=json); shift 2 ;;
    *) usage ;;
  esac
done
bazel build --noshow_progress //bench:micro
exec bazel-bin/bench/micro --benchmark_counters_tabular=true "${json[@]}"
