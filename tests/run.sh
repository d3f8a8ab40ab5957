#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tests/run.sh [unit|e2e|kernel|vm|budget|matrix|fuzz|all] [PATTERN]: builds, then runs the tests of that tier; all by default, which is all but
# matrix and fuzz. Ends with what failed, each with its reason, and "N passed, N failed, N skipped". PATTERN: only scenarios whose name
# holds it, or one of several with commas between them; one with a minus before it: not those.
#   unit    pure functions and classes, the corpora of the fuzzers, and the syntax of every LogQL query; no privileges
#   e2e     scenarios with ground truth on this machine's kernel; their records go to a real VictoriaLogs, Prometheus and
#           OpenTelemetry Collector and are read back; root, and Go to build these once. SANDPIPER_LOKI=BINARY|URL adds the
#           scenarios that only a Loki can prove
#   kernel  scenarios with ground truth on this machine's kernel, without these; of all, those that e2e has not run already; root
#   vm      of the same scenarios, what differs between kernels, on stock Debian kernels in QEMU, software emulation; root only to read
#           what the guest shares
#   budget  instructions in user space and in a guest, and bytes, against bench/budgets.json
#   matrix  all scenarios on each of these kernels: hours
#   fuzz    each parser of what others choose, with libFuzzer, ASan and UBSan, for a minute each; PATTERN: one of them
set -uo pipefail
cd "$(dirname "$0")/.."
tier=${1:-all} pattern=${2:-}
cache=${SANDPIPER_CACHE:-/var/cache/sandpiper}
passed=0 failed=0 skipped=0 guests=sample told=$(mktemp)
trap 'rm -f "$told"' EXIT

# LOG: adds its last line, "N passed, N failed, N skipped", and keeps what it says has failed.
count() {
  grep '^FAILED ' "$1" >> "$told"
  [[ $(tail -1 "$1") =~ ([0-9]+)\ passed,\ ([0-9]+)\ failed,\ ([0-9]+)\ skipped ]] || return 1
  passed=$((passed + BASH_REMATCH[1])) failed=$((failed + BASH_REMATCH[2])) skipped=$((skipped + BASH_REMATCH[3]))
}

fail() { echo "FAILED $*" | tee -a "$told"; failed=$((failed + 1)); }
skip() { echo "skip $*"; skipped=$((skipped + 1)); }

run_unit() {
  local log
  log=$(mktemp)
  if ! bazel test --keep_going --noshow_progress //tests/unit:all //tests/fuzz:all 2>&1 | tee "$log" | grep -E '^//|^FAIL|error:|Failure|^ERROR'; then :; fi
  # One count a test case, from what the runner wrote; a target that did not build or crashed has none, and is one failure.
  local xml tests failures
  while read -r xml; do
    tests=$(sed -n 's/^<testsuites tests="\([0-9]*\)".*/\1/p' "$xml") failures=$(sed -n 's/^<testsuites tests="[0-9]*" failures="\([0-9]*\)".*/\1/p' "$xml")
    passed=$((passed + ${tests:-0} - ${failures:-0})) failed=$((failed + ${failures:-0}))
    sed -nE 'N; s/.*<testcase name="([^"]*)".* classname="([^"]*)".*\n *<failure message="([^"]{0,600}).*/FAILED \2.\1: \3/p; D' "$xml" >> "$told"
  done < <(find -L bazel-testlogs/tests/unit -name test.xml)
  local broken
  # Corpora are programs of their own, one count each.
  passed=$((passed + $(grep -cE '^//tests/fuzz:.* PASSED' "$log")))
  broken=$(grep -cE '^//tests/(unit|fuzz):.*(FAILED TO BUILD|NO STATUS|FAILED in|TIMEOUT)' "$log")
  failed=$((failed + broken))
  sed -nE 's#^(//tests/(unit|fuzz):[^ ]*) +(FAILED.*|NO STATUS.*|TIMEOUT.*)#FAILED \1: \3#p' "$log" >> "$told"
  grep -q '^//tests/unit:' "$log" || fail "unit: no test ran"
  rm -f "$log"
  run_logql
}

# Parses every LogQL query of docs/, dashboards and alert rules with Grafana's own grammar.
run_logql() {
  local grammar=$cache/logql reason status log check
  # Without root the cache may be read-only.
  mkdir -p "$grammar" 2> /dev/null && [ -w "$grammar" ] || grammar=${XDG_CACHE_HOME:-$HOME/.cache}/sandpiper/logql
  reason=$(tests/e2e/logql/install.sh "$grammar")
  status=$?
  case $status in
    0) ;;
    3) skip "unit: $reason" && return ;;
    *) fail "unit: the LogQL grammar was not installed" && return ;;
  esac
  log=$(mktemp)
  for check in check_test.py check.py; do
    python3 "tests/e2e/logql/$check" "$grammar" > "$log"
    count "$log" || fail "unit: tests/e2e/logql/$check did not end"
  done
  rm -f "$log"
}

scenarios() { # [PATTERN] [OPTIONS]: prints the command
  echo "python3 tests/scenarios/run.py ${2:-} bazel-bin/userspace/sandpiper bazel-bin/tests/triggers/triggers bazel-bin/tests/e2e/otlp_sink ${pattern:-${1:-}}"
}

# The kernel tier leaves out the scenarios that the e2e tier ran already.
without_peers=

on_this_kernel() { # TIER [PATTERN] [OPTIONS]
  if [ "$(id -u)" != 0 ]; then
    skip "$1: needs root"
    guests=first
    return
  elif [ ! -r /sys/kernel/btf/vmlinux ]; then
    skip "$1: this kernel has no BTF; the vm tier carries the proof"
    guests=first
    return
  fi
  local log
  log=$(mktemp)
  PATH=/usr/sbin:/usr/bin:/sbin:/bin bash -c "exec $(scenarios "${2:-}" "${3:-}")" 2>&1 | tee "$log"
  count "$log" || fail "$1: the scenarios did not end"
  rm -f "$log"
}

run_e2e() {
  local reason status
  reason=$(tests/e2e/peers.sh "$cache/peers")
  status=$?
  echo "$reason"
  case $status in
    0) on_this_kernel e2e @peers "--peers $cache/peers" && without_peers=-@peers ;;
    3) skip "e2e: $reason" ;;
    *) fail "e2e: the peers were not built" ;;
  esac
}

# What the chart is checked with; without it those scenarios are skipped, and say so.
get_chart_tools() { tests/e2e/chart_tools.sh "$cache/chart-tools" || [ $? = 3 ] || fail "kernel: the tools for the chart were not built"; }

run_kernel() {
  get_chart_tools
  on_this_kernel kernel "$without_peers"
}

# Where this machine's kernel ran no scenarios, a guest runs them all.
on_other_kernels() { # MODE
  local log
  log=$(mktemp)
  tests/vm/guests.sh "$1" "$pattern" | tee "$log"
  count "$log" || fail "vm: the guests did not end"
  rm -f "$log"
}

run_budget() {
  local log
  log=$(mktemp)
  bench/check.sh 2>&1 | tee "$log"
  count "$log" || fail "budget: it was not measured"
  rm -f "$log"
}

case $tier in unit | e2e | kernel | vm | budget | matrix | fuzz | all) ;; *) echo "usage: tests/run.sh [unit|e2e|kernel|vm|budget|matrix|fuzz|all] [PATTERN]" >&2; exit 2 ;; esac
[ "$tier" != fuzz ] || exec tests/fuzz/run.sh 60 ${pattern:+"$pattern"}
if ! bazel build --noshow_progress //userspace:all //tests/triggers //tests/e2e:all; then
  echo "0 passed, 1 failed, 0 skipped"
  exit 1
fi
if [ "$tier" = unit ] || [ "$tier" = all ]; then run_unit; fi
if [ "$tier" = e2e ] || [ "$tier" = all ]; then run_e2e; fi
if [ "$tier" = kernel ] || [ "$tier" = all ]; then run_kernel; fi
if [ "$tier" = vm ] || [ "$tier" = all ]; then on_other_kernels "$guests"; fi
if [ "$tier" = budget ] || [ "$tier" = all ]; then run_budget; fi
if [ "$tier" = matrix ]; then on_other_kernels matrix; fi
cat "$told"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
