#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# demo.sh [--html FILE]
# Runs sandpiper on a temporary sandbox. It installs missing packages and builds. Then it runs a few
# ordinary programs in their own network namespace, beside a real DNS server and real web servers,
# and prints the report of sandpiper. With --html it writes the report as a web page to FILE.
# It needs no Internet access once the packages are installed.
set -euo pipefail
report=()
case $#:${1:-} in
  0:) ;;
  2:--html) report=(--format html -o "$(realpath -m "$2")") ;;
  *) echo "usage: $0 [--html FILE]" >&2; exit 2 ;;
esac
[ "$(id -u)" = 0 ] || { echo "demo: needs root: sudo $0" >&2; exit 1; }
cd "$(dirname "$0")/.."
deploy/setup.sh
echo "demo: building"
bazel build --noshow_progress --ui_event_filters=error //userspace:sandpiper
sandpiper=$PWD/bazel-bin/userspace/sandpiper

inside=spdemo-$$-in
outside=spdemo-$$-out
tmp=$(mktemp -d)
pids=()
cleanup() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  ip netns del "$inside" 2>/dev/null || true
  ip netns del "$outside" 2>/dev/null || true
  rm -rf "$tmp"
}
trap cleanup EXIT

ip netns add "$inside"
ip netns add "$outside"
ip link add eth0 netns "$inside" type veth peer name eth0 netns "$outside"
for ns in "$inside" "$outside"; do ip -n "$ns" link set lo up; done
ip -n "$inside" addr add 10.78.0.2/24 dev eth0
for last in 1 10 20; do ip -n "$outside" addr add 10.78.0.$last/24 dev eth0; done
ip -n "$inside" link set eth0 up
ip -n "$outside" link set eth0 up

enter() { nsenter --net="/run/netns/$1" "${@:2}"; }
mkdir "$tmp/www"
echo "a package" > "$tmp/www/package"
enter "$outside" dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts \
  --user=root --pid-file= --bind-interfaces --listen-address=10.78.0.1 --local=/test/ \
  --host-record=packages.test,10.78.0.10 --host-record=api.test,10.78.0.20 \
  --cname=mirror.test,packages.test 2> "$tmp/dns.log" &
pids+=($!)
enter "$outside" python3 -m http.server --bind 10.78.0.10 --directory "$tmp/www" 80 \
  > /dev/null 2>&1 &
pids+=($!)
echo "nameserver 10.78.0.1" > "$tmp/resolv.conf"
# The rules of the sandbox: it may reach this server by HTTP only.
enter "$inside" nft -f - <<'RULES'
table inet egress {
  chain output {
    type filter hook output priority 0; policy accept;
    ip daddr 10.78.0.10 tcp dport 80 accept
    ip daddr 10.78.0.10 drop
  }
}
RULES
for _ in $(seq 50); do
  enter "$inside" curl -s -o /dev/null --max-time 1 http://10.78.0.10/package && break
  sleep 0.1
done

cat > "$tmp/agent.sh" <<'AGENT'
#!/bin/sh
# The work of an agent: it resolves names and fetches a package. It tries a service that is down, a
# host by its address only, and a port that a rule drops. Then it deletes the rules.
curl -s http://packages.test/package > /dev/null
curl -s http://mirror.test/package > /dev/null
curl -s --max-time 2 http://api.test:8443/v1/model
dig +short +time=1 +tries=1 exfil.example.test TXT > /dev/null
/usr/bin/python3 -c 'import socket; socket.create_connection(("10.78.0.10", 80)).close()'
curl -s --max-time 1 http://192.0.2.77/
curl -s --max-time 1 http://packages.test:8022/upload
nft flush ruleset
exit 0
AGENT
chmod +x "$tmp/agent.sh"
echo "demo: the sandbox runs"
# The sandbox has its own mount namespace for its resolv.conf. sandpiper changes nothing in it.
# shellcheck disable=SC2016 # bash in the namespace expands these
enter "$inside" unshare -m bash -ec '
  mount --bind "$1/resolv.conf" /etc/resolv.conf
  exec "$2" exec --id demo "${@:3}" -- "$1/agent.sh"' sh "$tmp" "$sandpiper" "${report[@]}"
[ ${#report[@]} = 0 ] || echo "demo: the report is in ${report[3]}"
