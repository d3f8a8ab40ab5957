#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# setup.sh [--with-runtimes]: installs the packages that are needed to build, run and test
# sandpiper. With --with-runtimes it also installs the container runtimes and tools of some
# scenarios, which are skipped otherwise. It can run again: it installs only missing packages.
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

# shellcheck source=/dev/null
. /etc/os-release
case " ${ID:-} ${ID_LIKE:-} " in
  *" debian "* | *" ubuntu "*) ;;
  *) fail "this system is ${PRETTY_NAME:-unknown}, not Debian or Ubuntu.
  Install the software of these packages, then build: ${packages[*]}" ;;
esac
[ "$(id -u)" = 0 ] || fail "needs root to install packages: run it with sudo"

# Names of the installed packages, and the names that they provide: the nodejs of another vendor
# provides npm.
installed() {
  dpkg-query -W -f '${db:Status-Status} ${Package}, ${Provides}\n' |
    sed -n 's/^installed //p' | sed 's/([^)]*)//g' | tr -s ', ' '\n'
}
missing() { comm -23 <(printf '%s\n' "${packages[@]}" | sort -u) <(installed | sort -u); }
known() { [ -n "$(apt-cache show --no-all-versions "$1" 2>/dev/null)" ]; }

# PACKAGE: bookworm itself does not have it, as the OTLP schema. Adds the backports suite of the
# archive that this system already uses.
add_backports() {
  local archive
  # shellcheck disable=SC2016 # this is a field of apt-get
  archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' |
    head -1)
  if [ -z "${VERSION_CODENAME:-}" ] || [ -z "$archive" ]; then return 0; fi
  printf 'setup: adding the suite %s-backports for %s\n' "$VERSION_CODENAME" "$1"
  cat > /etc/apt/sources.list.d/sandpiper-backports.sources << SOURCES
Types: deb
URIs: $archive
Suites: $VERSION_CODENAME-backports
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCES
  apt-get update -qq
}

mapfile -t need < <(missing)
if [ ${#need[@]} -eq 0 ]; then
  echo "setup: all ${#packages[@]} packages are installed"
  exit 0
fi
printf 'setup: %d of %d packages are missing: %s\n' \
  ${#need[@]} ${#packages[@]} "${need[*]}"
apt-get update -qq
for p in "${need[@]}"; do
  known "$p" || { add_backports "$p"; break; }
done
unknown=()
for p in "${need[@]}"; do known "$p" || unknown+=("$p"); done
[ ${#unknown[@]} -eq 0 ] || fail "${PRETTY_NAME} has no package named: ${unknown[*]}
  Add the suite that has them, or install the same software by hand."
# Packages start no service during this installation (invoke-rc.d(8)): the scenarios start the
# services that they need.
if [ ! -e /usr/sbin/policy-rc.d ]; then
  printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
  chmod 755 /usr/sbin/policy-rc.d
  trap 'rm -f /usr/sbin/policy-rc.d' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
apt-get install -y -qq --no-install-recommends "${need[@]}" > /dev/null
mapfile -t need < <(missing)
[ ${#need[@]} -eq 0 ] || fail "still missing after apt-get install: ${need[*]}"
echo "setup: done, ${#packages[@]} packages are installed"
