#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# setup.sh [--with-runtimes]: installs by package name what building, running and testing sandpiper needs, and, if asked to, the container
# runtimes that some scenarios start (they are skipped otherwise). Safe to run again: it installs only what is missing.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
lists=("$here/packages.txt")

fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

case ${1:-} in
  "") ;;
  --with-runtimes) lists+=("$here/runtimes.txt") ;;
  *) fail "usage: $0 [--with-runtimes]" ;;
esac
mapfile -t packages < <(sed 's/#.*//' "${lists[@]}" | tr -s ' ' '\n' | grep .)

. /etc/os-release
case " ${ID:-} ${ID_LIKE:-} " in
  *" debian "* | *" ubuntu "*) ;;
  *) fail "this system is ${PRETTY_NAME:-unknown}, not Debian or Ubuntu. Install what these packages hold, then build:
  ${packages[*]}" ;;
esac
[ "$(id -u)" = 0 ] || fail "needs root to install packages: run it with sudo"

# Names of the installed packages, and the names that these provide: another vendor's nodejs provides npm.
installed() {
  dpkg-query -W -f '${db:Status-Status} ${Package}, ${Provides}\n' | sed -n 's/^installed //p' | sed 's/([^)]*)//g' | tr -s ', ' '\n'
}
missing() { comm -23 <(printf '%s\n' "${packages[@]}" | sort -u) <(installed | sort -u); }
known() { [ -n "$(apt-cache show --no-all-versions "$1" 2>/dev/null)" ]; }

# The OTLP schema is not in bookworm itself: take it from the backports suite of the archive that this system already uses.
add_backports() {
  local archive
  archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | head -1)
  [ -n "${VERSION_CODENAME:-}" ] && [ -n "$archive" ] || return 0
  printf 'setup: adding the suite %s-backports for %s\n' "$VERSION_CODENAME" "$1"
  printf 'Types: deb\nURIs: %s\nSuites: %s-backports\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n' \
    "$archive" "$VERSION_CODENAME" > /etc/apt/sources.list.d/sandpiper-backports.sources
  apt-get update -qq
}

mapfile -t need < <(missing)
if [ ${#need[@]} -eq 0 ]; then
  echo "setup: all ${#packages[@]} packages are installed"
  exit 0
fi
printf 'setup: %d of %d packages are missing: %s\n' ${#need[@]} ${#packages[@]} "${need[*]}"
apt-get update -qq
for p in "${need[@]}"; do
  known "$p" || { add_backports "$p"; break; }
done
unknown=()
for p in "${need[@]}"; do known "$p" || unknown+=("$p"); done
[ ${#unknown[@]} -eq 0 ] || fail "${PRETTY_NAME} has no package named: ${unknown[*]}
  Add the suite that holds them, or install the same software by hand."
# Nothing that is installed here is started (invoke-rc.d(8)): the scenarios start what they need.
if [ ! -e /usr/sbin/policy-rc.d ]; then
  printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
  chmod 755 /usr/sbin/policy-rc.d
  trap 'rm -f /usr/sbin/policy-rc.d' EXIT
fi
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}" > /dev/null
mapfile -t need < <(missing)
[ ${#need[@]} -eq 0 ] || fail "still missing after apt-get install: ${need[*]}"
echo "setup: done, ${#packages[@]} packages are installed"
