#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh [unit|e2e|kernel|vm|budget|matrix|fuzz|all] [PATTERN]: builds, then runs one tier of tests.
# The default is all, which leaves out matrix and fuzz. The output ends with one line for each
# failure and "N passed, N failed, N skipped". PATTERN selects scenarios: a piece of a name or
# @TAG, or several with commas between them; a part that begins with a minus leaves scenarios out.
#   unit    functions and classes, the corpora of the fuzzers, and the syntax of every LogQL query;
#           needs no privileges
#   e2e     scenarios on this machine's kernel. Their records go to a real VictoriaLogs, Prometheus
#           and OpenTelemetry Collector and are read back. Needs root, and Go to build the servers
#           once. SANDPIPER_LOKI=BINARY|URL adds the scenarios that only a Loki can prove
#   kernel  the other scenarios on this machine's kernel; needs root
#   vm      the scenarios that differ between kernels, on stock Debian kernels in QEMU without KVM;
#           needs root only to read the files that guests share
#   budget  instructions in user space and in a guest, and bytes, against bench/budgets.json
#   matrix  all scenarios on each kernel of the vm tier: takes hours
#   fuzz    each parser of untrusted input for a minute, with libFuzzer, ASan and UBSan; PATTERN
#           names one of them
set -uo pipefail
cd "$(dirname "$0")/.." || exit
tier=${1:-all} pattern=${2:-}
cache=${SANDPIPER_CACHE:-/var/cache/sandpiper}
passed=0 failed=0 skipped=0 guests=sample failures=$(mktemp)
trap 'rm -f "$failures"' EXIT

# LOG: adds the counts in its last line, "N passed, N failed, N skipped", and keeps its failures.
count() {
  grep '^FAILED ' "$1" >> "$failures"
  [[ $(tail -1 "$1") =~ ([0-9]+)\ passed,\ ([0-9]+)\ failed,\ ([0-9]+)\ skipped ]] || return 1
  passed=$((passed + BASH_REMATCH[1]))
  failed=$((failed + BASH_REMATCH[2]))
  skipped=$((skipped + BASH_REMATCH[3]))
}

fail() {
  echo "FAILED $*" | tee -a "$failures"
  failed=$((failed + 1))
}

skip() {
  echo "skip $*"
  skipped=$((skipped + 1))
}

# XML: counts the test cases of one target. A target that did not build or crashed has no such file.
count_cases() {
  local cases failing
  cases=$(sed -n 's/^<testsuites tests="\([0-9]*\)".*/\1/p' "$1")
  failing=$(sed -n 's/^<testsuites tests="[0-9]*" failures="\([0-9]*\)".*/\1/p' "$1")
  passed=$((passed + ${cases:-0} - ${failing:-0}))
  failed=$((failed + ${failing:-0}))
  local name='<testcase name="([^"]*)".* classname="([^"]*)".*'
  local message='<failure message="([^"]{0,600})'
  sed -nE "N; s/.*$name\n *$message.*/FAILED \2.\1: \3/p; D" "$1" >> "$failures"
}

run_unit() {
  local log xml broken
  log=$(mktemp)
  bazel test --keep_going --noshow_progress //tests/unit:all //tests/fuzz:all 2>&1 | tee "$log" |
    grep -E '^//|^FAIL|error:|Failure|^ERROR'
  while read -r xml; do
    count_cases "$xml"
  done < <(find -L bazel-testlogs/tests/unit -name test.xml)
  # A corpus is a program of its own and counts as one.
  passed=$((passed + $(grep -cE '^//tests/fuzz:.* PASSED' "$log")))
  broken=$(grep -cE '^//tests/(unit|fuzz):.*(FAILED TO BUILD|NO STATUS|FAILED in|TIMEOUT)' "$log")
  failed=$((failed + broken))
  sed -nE 's#^(//tests/(unit|fuzz):[^ ]*) +(FAILED.*|NO STATUS.*|TIMEOUT.*)#FAILED \1: \3#p' \
    "$log" >> "$failures"
  grep -q '^//tests/unit:' "$log" || fail "unit: no test ran"
  rm -f "$log"
  python_tests tests/scenarios/peer_checks_test.py
  python_tests tests/scenarios/mixes/mixes_test.py
  run_logql
}

# FILE [ARGUMENT]: runs the Python tests of a file and counts them.
python_tests() {
  local log ran
  log=$(mktemp)
  if python3 "$@" > "$log" 2>&1; then
    ran=$(sed -n 's/^Ran \([0-9]*\) tests.*/\1/p' "$log")
    passed=$((passed + ran))
  else
    cat "$log"
    fail "unit: $1: $(tail -1 "$log")"
  fi
  rm -f "$log"
}

# Parses every LogQL query of docs/, dashboards and alert rules with Grafana's own grammar.
run_logql() {
  local grammar=$cache/logql reason status log
  # Without root the cache may be read-only.
  mkdir -p "$grammar" 2> /dev/null && [ -w "$grammar" ] ||
    grammar=${XDG_CACHE_HOME:-$HOME/.cache}/sandpiper/logql
  reason=$(tests/e2e/logql/install.sh "$grammar")
  status=$?
  case $status in
    0) ;;
    3) skip "unit: $reason" && return ;;
    *) fail "unit: the LogQL grammar was not installed" && return ;;
  esac
  python_tests tests/e2e/logql/check_test.py "$grammar"
  log=$(mktemp)
  python3 tests/e2e/logql/check.py "$grammar" > "$log"
  count "$log" || fail "unit: tests/e2e/logql/check.py did not end"
  rm -f "$log"
}

programs="bazel-bin/userspace/sandpiper bazel-bin/tests/triggers/triggers"
programs+=" bazel-bin/tests/e2e/otlp_sink"

scenarios() { # [PATTERN] [OPTIONS]: prints the command
  echo "python3 tests/scenarios/run.py ${2:-} $programs ${pattern:-${1:-}}"
}

# The kernel tier leaves out the scenarios that the e2e tier ran already.
without_peers=

on_this_kernel() { # TIER [PATTERN] [OPTIONS]
  if [ "$(id -u)" != 0 ]; then
    skip "$1: needs root"
    guests=first
    return
  elif [ ! -r /sys/kernel/btf/vmlinux ]; then
    skip "$1: this kernel has no BTF; the vm tier runs the scenarios instead"
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

# Installs the tools that check the chart. Without them those scenarios are skipped with a reason.
get_chart_tools() {
  tests/e2e/chart_tools.sh "$cache/chart-tools" || [ $? = 3 ] ||
    fail "kernel: the tools for the chart were not built"
}

run_kernel() {
  get_chart_tools
  on_this_kernel kernel "$without_peers"
}

# If this machine's kernel ran no scenarios, a guest runs them all.
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
  count "$log" || fail "budget: the measurement did not end"
  rm -f "$log"
}

case $tier in
  unit | e2e | kernel | vm | budget | matrix | fuzz | all) ;;
  *)
    echo "usage: tests/run.sh [unit|e2e|kernel|vm|budget|matrix|fuzz|all] [PATTERN]" >&2
    exit 2
    ;;
esac
[ "$tier" != fuzz ] || exec tests/fuzz/run.sh 60 ${pattern:+"$pattern"}
if ! bazel build --noshow_progress //userspace:all //userspace/command:write_reference \
  //tests/triggers //tests/e2e:all; then
  echo "0 passed, 1 failed, 0 skipped"
  exit 1
fi
if [ "$tier" = unit ] || [ "$tier" = all ]; then run_unit; fi
if [ "$tier" = e2e ] || [ "$tier" = all ]; then run_e2e; fi
if [ "$tier" = kernel ] || [ "$tier" = all ]; then run_kernel; fi
if [ "$tier" = vm ] || [ "$tier" = all ]; then on_other_kernels "$guests"; fi
if [ "$tier" = budget ] || [ "$tier" = all ]; then run_budget; fi
if [ "$tier" = matrix ]; then on_other_kernels matrix; fi
cat "$failures"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
