#!/usr/bin/env bash
# tests/run.sh [unit|e2e|kernel|vm|all] [PATTERN]: builds, then runs the tests of that tier; all by default. Ends with
# "N passed, N failed, N skipped". PATTERN: only scenarios whose name holds it, or
# one of several with commas between them;
# one with a minus before it: not those.
#   unit    pure functions and classes, no privileges
#   e2e     scenarios with ground truth on this machine's kernel, sent to a real Loki, Prometheus and OpenTelemetry Collector and read back;
#           root, and Go to build them once
#   kernel  scenarios with ground truth on this machine's kernel, without these; of all, those that e2e has not run already; root
#   vm      the same scenarios on stock Debian kernels in QEMU, software emulation; root only to read what the guest shares
set -uo pipefail
cd "$(dirname "$0")/.."
tier=${1:-all} pattern=${2:-}
cache=${SANDPIPER_CACHE:-/var/cache/sandpiper}
passed=0 failed=0 skipped=0

count() { # LINE: adds "N passed, N failed, N skipped"
  [[ $1 =~ ([0-9]+)\ passed,\ ([0-9]+)\ failed,\ ([0-9]+)\ skipped ]] || return 1
  passed=$((passed + BASH_REMATCH[1])) failed=$((failed + BASH_REMATCH[2])) skipped=$((skipped + BASH_REMATCH[3]))
}

fail() { echo "FAIL $*"; failed=$((failed + 1)); }
skip() { echo "skip $*"; skipped=$((skipped + 1)); }

run_unit() {
  local log
  log=$(mktemp)
  if ! bazel test --keep_going --noshow_progress //tests/unit:all 2>&1 | tee "$log" | grep -E '^//|^FAIL|error:|Failure|^ERROR'; then :; fi
  # One count a test case, from what the runner wrote; a target that did not build or crashed has none, and is one failure.
  local xml tests failures
  while read -r xml; do
    tests=$(sed -n 's/^<testsuites tests="\([0-9]*\)".*/\1/p' "$xml") failures=$(sed -n 's/^<testsuites tests="[0-9]*" failures="\([0-9]*\)".*/\1/p' "$xml")
    passed=$((passed + ${tests:-0} - ${failures:-0})) failed=$((failed + ${failures:-0}))
  done < <(find -L bazel-testlogs/tests/unit -name test.xml)
  local broken
  broken=$(grep -cE '^//tests/unit:.*(FAILED TO BUILD|NO STATUS|FAILED in|TIMEOUT)' "$log")
  failed=$((failed + broken))
  grep -q '^//tests/unit:' "$log" || fail "unit: no test ran"
  rm -f "$log"
}

scenarios() { # [PATTERN] [OPTIONS]: prints the command
  echo "python3 tests/scenarios/run.py ${2:-} bazel-bin/userspace/sandpiper bazel-bin/tests/triggers/triggers bazel-bin/tests/e2e/otlp_sink ${pattern:-${1:-}}"
}

# What goes through the peers, and what is about them.
with_peers=dns.,redirect.,connect.,deny.,forward.,device.,nft.,nft_limits.,sidecar.,process.,attribution.,loki.,prometheus.,otelcol.,outage.
without_peers=

on_this_kernel() { # TIER [PATTERN] [OPTIONS]
  if [ "$(id -u)" != 0 ]; then
    skip "$1: needs root"
    return
  elif [ ! -r /sys/kernel/btf/vmlinux ]; then
    skip "$1: this kernel has no BTF; the vm tier carries the proof"
    return
  fi
  local log
  log=$(mktemp)
  PATH=/usr/sbin:/usr/bin:/sbin:/bin bash -c "exec $(scenarios "${2:-}" "${3:-}")" 2>&1 | tee "$log"
  count "$(tail -1 "$log")" || fail "$1: the scenarios did not end"
  rm -f "$log"
}

run_e2e() {
  local reason status
  reason=$(tests/e2e/peers.sh "$cache/peers")
  status=$?
  echo "$reason"
  case $status in
    0) on_this_kernel e2e $with_peers "--peers $cache/peers" && without_peers=-${with_peers//,/,-} ;;
    3) skip "e2e: $reason" ;;
    *) fail "e2e: the peers were not built" ;;
  esac
}

run_kernel() { on_this_kernel kernel "$without_peers"; }

get_kernel() { # SUITE PACKAGE NAME
  tests/vm/kernel.sh "$1" "$2" "$cache/$3" && tests/vm/initrd.sh "$cache/$3.initrd" "$cache/$3" && return
  fail "vm: no kernel of $2 in $1"
  return 1
}

boot() { # KERNEL LOG [PATTERN [INITRD]]: the scenarios in a guest; what it prints is told with the name of the log before it
  local label command="cd $PWD && SCENARIOS_SLOW=1 $(scenarios "${3:-}")"
  label=$(basename "$2")
  # QEMU's emulation loses a guest at boot now and then: one that never came up is started once more.
  for try in 1 2; do
    tests/vm/boot.sh "$cache/$1" "${4:-$cache/$1.initrd}" "${command// /+}" 2>&1 | sed -u 's/\r//' | tee "$2" | sed -u "s/^/$label: /"
    grep -q '^.*guest: linux' "$2" && return
    [ $try = 1 ] && echo "== $label: the guest did not come up, again"
  done
}

# One or two of each probe.
some=dns.a_and,dns.glibc,connect.refused,deny.tcp_output,nft.replaced,nft.changed_by_the_app,process.children,attribution.two,robust.the_doctor_tells,robust.a_kernel_that

# Hosts that lack something: all works, or what does not is told with its reason.
run_degraded() { # LOGS
  [ -z "$pattern" ] || return 0
  MODULE_BTF=no tests/vm/initrd.sh "$1/initrd" "$cache/linux-6.1"
  boot linux-6.1 "$1/6.1-without-module-btf" $some "$1/initrd"
  rm "$1/initrd"
  LSM=lockdown,capability ARGUMENTS=lockdown=integrity boot linux-6.1 "$1/6.1-integrity" $some
  ARGUMENTS=lockdown=confidentiality boot linux-6.1 "$1/6.1-confidentiality" robust.a_kernel_that
  CPUS=1 MEMORY=768 ARGUMENTS=GUEST_CGROUPS=hybrid boot linux-6.1 "$1/6.1-small-hybrid" $some
}

# One after the other: two at a time starve each other on two cores, and what a scenario does in a second then takes a minute.
run_vm() {
  local logs log
  logs=$(mktemp -d)
  # Left out: what is about container runtimes, exporters or configuration, and not about the kernel.
  if get_kernel bookworm linux-image-amd64 linux-6.1; then
    boot linux-6.1 "$logs/6.1" \
      -kube.short,-kube.a_restarted,-kube.rules,-kube.the_runtime,-engine.,-systemd.,-otlp.,-robust.bad,-discovery.bad,-discovery.flags,-discovery.labels,-discovery.two,-discovery.an_identity,-discovery.runtimes,-discovery.a_slow,-metrics.prometheus,-metrics.nobody,-metrics.delta,-metrics.a_sandbox,-metrics.too,-metrics.sandboxes,-loki.,-prometheus.,-otelcol.,-outage.,-endpoint,-redaction.
    GUEST_INIT=systemd boot linux-6.1 "$logs/6.1-systemd" systemd.
    run_degraded "$logs"
  fi
  if get_kernel bullseye linux-image-amd64 linux-5.10; then
    boot linux-5.10 "$logs/5.10" $some,connect.,deny.,forward.,evasion.,nft.,device.behind_a_veth
  fi
  if get_kernel bookworm-backports linux-image-amd64 linux-6.12; then
    boot linux-6.12 "$logs/6.12" deny.,forward.,device.,nft,redirect.,sidecar.
  fi
  if get_kernel sid linux-image-amd64 linux-sid; then
    # On 7.2 there is no storage of sockets without cmpxchg16b, which boot.sh leaves out for the sake of 6.12.
    CPU=max,la57=off boot linux-sid "$logs/sid" $some,deny.,evasion.
  fi
  for log in "$logs"/*; do
    count "$(grep -E '^[0-9]+ passed, ' "$log" | tail -1)" || fail "vm: the guest $(basename "$log") did not end its scenarios"
  done
  rm -rf "$logs"
}

case $tier in unit | e2e | kernel | vm | all) ;; *) echo "usage: tests/run.sh [unit|e2e|kernel|vm|all] [PATTERN]" >&2; exit 2 ;; esac
if ! bazel build --noshow_progress //userspace:sandpiper //tests/triggers //tests/e2e:all; then
  echo "0 passed, 1 failed, 0 skipped"
  exit 1
fi
if [ "$tier" = unit ] || [ "$tier" = all ]; then run_unit; fi
if [ "$tier" = e2e ] || [ "$tier" = all ]; then run_e2e; fi
if [ "$tier" = kernel ] || [ "$tier" = all ]; then run_kernel; fi
if [ "$tier" = vm ] || [ "$tier" = all ]; then run_vm; fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
