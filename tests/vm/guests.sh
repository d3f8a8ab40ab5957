#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# guests.sh MODE [PATTERN]: boots the guests of MODE, one CPU each and as many at a time as this machine has, runs the scenarios in them and
# ends with what failed and "N passed, N failed, N skipped". What a guest prints is told with its name before it.
#   sample  each kernel with what differs between kernels, and hosts that lack something
#   first   as sample, and all scenarios on the first kernel
#   matrix  as sample, and all scenarios on each kernel
# With PATTERN, as of tests/scenarios/run.py: that on each kernel, and nothing else.
set -uo pipefail
cd "$(dirname "$0")/../.."
mode=$1 pattern=${2:-}
cache=${SANDPIPER_CACHE:-/var/cache/sandpiper}
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
passed=0 failed=0 skipped=0

get_kernel() { # SUITE PACKAGE NAME
  tests/vm/kernel.sh "$1" "$2" "$cache/$3" && tests/vm/initrd.sh "$cache/$3.initrd" "$cache/$3" && return
  echo "FAILED vm: no kernel of $2 in $1"
  failed=$((failed + 1))
  return 1
}

boot() { # NAME KERNEL PATTERN
  local command="cd $PWD && SCENARIOS_SLOW=1 python3 tests/scenarios/run.py bazel-bin/userspace/sandpiper bazel-bin/tests/triggers/triggers bazel-bin/tests/e2e/otlp_sink $3"
  # QEMU's emulation loses a guest at boot now and then: one that never came up is started once more.
  for try in 1 2; do
    tests/vm/boot.sh "$cache/$2" "${INITRD:-$cache/$2.initrd}" "${command// /+}" 2>&1 | sed -u 's/\r//' | tee "$logs/$1" | sed -u "s/^/$1: /"
    grep -q '^.*guest: linux' "$logs/$1" && return
    [ $try = 1 ] && echo "== $1: the guest did not come up, again"
  done
}

# NAME KERNEL PATTERN, and the environment of boot.sh: boots when a CPU is free. One CPU each: guests of two, or more guests than CPUs,
# wait for one another's spin locks, and what a scenario does in a second then takes a minute.
guest() {
  while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
  CPUS=1 boot "$@" &
}

everything() { # LABEL KERNEL: all scenarios, divided so that no guest is the last one for long
  guest "$1-lookups" "$2" "dns.,redirect.,attribution.,-@userspace"
  guest "$1-connections" "$2" "connect.,process.,evasion.,privilege.,-@userspace"
  guest "$1-rules" "$2" "deny.,forward.,device.,nft,sidecar.,tenants.,-@userspace"
  guest "$1-others" "$2" "discovery.,kube.,robust.,flood.,metrics.,-@userspace"
}

kernel() { # LABEL SUITE PATTERN, and the environment of boot.sh: what MODE asks of this kernel
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
# 5.10 has the most of what is done in another way there: storage of sockets, outcomes of datagrams, places of drops.
kernel 5.10 bullseye "@kernels,@linux-5.10"
kernel 6.12 bookworm-backports "@kernels,@linux-6.12"
# On 7.2 there is no storage of sockets without cmpxchg16b, which boot.sh leaves out for the sake of 6.12.
# There programs of the probes are preempted, too.
CPU=max,la57=off kernel sid sid "@kernels,@linux-sid"
if [ -z "$pattern" ] && [ -d "$cache/linux-6.1" ]; then
  # Hosts that lack something: all works, or what does not is told with its reason.
  MODULE_BTF=no tests/vm/initrd.sh "$logs/initrd" "$cache/linux-6.1"
  INITRD=$logs/initrd guest 6.1-without-module-btf linux-6.1 @hosts
  LSM=lockdown,capability ARGUMENTS=lockdown=integrity guest 6.1-integrity linux-6.1 @hosts
  ARGUMENTS=lockdown=confidentiality guest 6.1-confidentiality linux-6.1 @lockdown
  MEMORY=512 ARGUMENTS=GUEST_CGROUPS=hybrid guest 6.1-small-hybrid linux-6.1 @hosts
  # Two versions of the Debian package, for an upgrade.
  rm -rf "$cache/deb"
  deploy/debian/build.sh "$cache/deb" > "$logs/deb" && VERSION=9.9.9 deploy/debian/build.sh "$cache/deb" >> "$logs/deb" && rm "$logs/deb"
  GUEST_INIT=systemd guest 6.1-systemd linux-6.1 @systemd
fi
wait
rm -f "$logs/initrd"
for log in "$logs"/*; do
  sed -n "s/^FAILED /FAILED $(basename "$log"): /p" "$log"
  if [[ $(grep -E '^[0-9]+ passed, ' "$log" | tail -1) =~ ([0-9]+)\ passed,\ ([0-9]+)\ failed,\ ([0-9]+)\ skipped ]]; then
    passed=$((passed + BASH_REMATCH[1])) failed=$((failed + BASH_REMATCH[2])) skipped=$((skipped + BASH_REMATCH[3]))
  else
    echo "FAILED $(basename "$log"): it did not end its scenarios"
    failed=$((failed + 1))
  fi
done
echo "$passed passed, $failed failed, $skipped skipped"
