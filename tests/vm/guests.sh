#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# guests.sh MODE [PATTERN]: boots guests with one CPU each, as many at a time as this machine has
# CPUs, and runs scenarios in them. Prefixes each line of a guest with its name. Ends with the
# failed scenarios and "N passed, N failed, N skipped". MODE is one of:
#   sample  on each kernel the scenarios that depend on it, and some on hosts that lack a feature.
#   first   sample, and all scenarios on the first kernel.
#   matrix  sample, and all scenarios on each kernel.
# With PATTERN (see tests/scenarios/run.py): only these scenarios, on each kernel.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit
mode=$1 pattern=${2:-}
cache=${SANDPIPER_CACHE:-/var/cache/sandpiper}
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
passed=0 failed=0 skipped=0

get_kernel() { # SUITE PACKAGE NAME
  tests/vm/kernel.sh "$1" "$2" "$cache/$3" &&
    tests/vm/initrd.sh "$cache/$3.initrd" "$cache/$3" && return
  echo "FAILED vm: no kernel of $2 in $1"
  failed=$((failed + 1))
  return 1
}

boot() { # NAME KERNEL PATTERN
  local run="tests/scenarios/run.py bazel-bin/userspace/sandpiper"
  run+=" bazel-bin/tests/triggers/triggers bazel-bin/tests/e2e/otlp_sink $3"
  local command="cd $PWD && SCENARIOS_SLOW=1 python3 $run"
  # Under QEMU's emulation a guest sometimes does not boot. It is started a second time.
  for try in 1 2; do
    tests/vm/boot.sh "$cache/$2" "${INITRD:-$cache/$2.initrd}" "${command// /+}" 2>&1 |
      sed -u 's/\r//' | tee "$logs/$1" | sed -u "s/^/$1: /"
    grep -q '^.*guest: linux' "$logs/$1" && return
    [ $try = 1 ] && echo "== $1: the guest did not boot, second try"
  done
}

# guest NAME KERNEL PATTERN, and the environment of boot.sh: boots when a CPU is free. Guests with
# two CPUs, or more guests than CPUs, would wait for spin locks of virtual CPUs that do not run: a
# scenario of a second would take a minute.
guest() {
  while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
  CPUS=1 boot "$@" &
}

everything() { # LABEL KERNEL: all scenarios, divided so that the guests end at about the same time
  guest "$1-lookups" "$2" "dns.,redirect.,attribution.,-@userspace"
  guest "$1-connections" "$2" "connect.,process.,evasion.,privilege.,-@userspace"
  guest "$1-rules" "$2" "deny.,forward.,device.,nft,sidecar.,tenants.,-@userspace"
  guest "$1-others" "$2" "discovery.,kube.,robust.,flood.,metrics.,-@userspace"
}

kernel() { # LABEL SUITE PATTERN, and the environment of boot.sh: the guests of MODE for a kernel
  get_kernel "$2" linux-image-amd64 "linux-$1" || return
  if [ -n "$pattern" ]; then
    guest "$1" "linux-$1" "$pattern"
  elif [ "$mode" = matrix ] || [ "$mode,$1" = first,6.1 ]; then
    everything "$1" "linux-$1"
  else
    guest "$1" "linux-$1" "$3"
  fi
}

kernel 6.1 bookworm "@kernels,@linux-6.1"
# On 5.10 most mechanisms differ: socket state, outcomes of datagrams, drops by call site.
kernel 5.10 bullseye "@kernels,@linux-5.10"
kernel 6.12 bookworm-backports "@kernels,@linux-6.12"
# 7.2 has no socket storage without cmpxchg16b, which boot.sh disables for 6.12. On 7.2 tracepoint
# programs can be preempted.
CPU=max,la57=off kernel sid sid "@kernels,@linux-sid"
if [ -z "$pattern" ] && [ -d "$cache/linux-6.1" ]; then
  # Hosts that lack a feature: sandpiper works, or reports the degraded probe with the reason.
  MODULE_BTF=no tests/vm/initrd.sh "$logs/initrd" "$cache/linux-6.1"
  INITRD=$logs/initrd guest 6.1-without-module-btf linux-6.1 @hosts
  LSM=lockdown,capability ARGUMENTS=lockdown=integrity guest 6.1-integrity linux-6.1 @hosts
  ARGUMENTS=lockdown=confidentiality guest 6.1-confidentiality linux-6.1 @lockdown
  MEMORY=512 ARGUMENTS=GUEST_CGROUPS=hybrid guest 6.1-small-hybrid linux-6.1 @hosts
  # Two versions of the Debian package, for an upgrade.
  rm -rf "$cache/deb"
  deploy/debian/build.sh "$cache/deb" > "$logs/deb" &&
    VERSION=9.9.9 deploy/debian/build.sh "$cache/deb" >> "$logs/deb" && rm "$logs/deb"
  GUEST_INIT=systemd guest 6.1-systemd linux-6.1 @systemd
fi
wait
rm -f "$logs/initrd"
for log in "$logs"/*; do
  sed -n "s/^FAILED /FAILED $(basename "$log"): /p" "$log"
  counts='([0-9]+) passed, ([0-9]+) failed, ([0-9]+) skipped'
  if [[ $(grep -E '^[0-9]+ passed, ' "$log" | tail -1) =~ $counts ]]; then
    passed=$((passed + BASH_REMATCH[1]))
    failed=$((failed + BASH_REMATCH[2]))
    skipped=$((skipped + BASH_REMATCH[3]))
  else
    echo "FAILED $(basename "$log"): it did not end its scenarios"
    failed=$((failed + 1))
  fi
done
echo "$passed passed, $failed failed, $skipped skipped"
