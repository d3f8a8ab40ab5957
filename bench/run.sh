#!/usr/bin/env bash
# bench/run.sh [micro] [--json FILE]: measures, gates nothing. micro: the user side by the record, times of this machine.
set -euo pipefail
cd "$(dirname "$0")/.."
json=()
while [ $# -gt 0 ]; do
  case $1 in
    micro) ;;
    --json) json=(--benchmark_out="${2:?--json needs a file}" --benchmark_out_format=json); shift ;;
    *) echo "usage: bench/run.sh [micro] [--json FILE]" >&2; exit 2 ;;
  esac
  shift
done
bazel build --noshow_progress "//bench:decode_bench"
bazel-bin/bench/decode_bench --benchmark_min_time=0.5 "${json[@]}"
