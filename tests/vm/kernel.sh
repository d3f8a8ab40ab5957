#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# kernel.sh SUITE PACKAGE DIR: downloads the newest kernel of PACKAGE in SUITE and unpacks it in
# DIR. Installs nothing and does not change apt's state. Does nothing if DIR has a kernel already.
set -euo pipefail
suite=$1 package=$2 dir=$3
[ -z "$(find "$dir" -name 'vmlinuz*' -type f 2>/dev/null)" ] || exit 0
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
chmod 755 "$t"
mkdir -p "$t/lists/partial" "$t/cache/archives/partial" "$t/parts" "$dir"
# From the archive that this system uses.
# shellcheck disable=SC2016  # apt-get expands the format, not the shell
archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' |
  head -1)
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [arch=amd64 signed-by=$keyring] $archive $suite main" > "$t/sources.list"
options=(-o "Dir::Etc::sourcelist=$t/sources.list" -o "Dir::Etc::sourceparts=$t/parts"
  -o "Dir::State::lists=$t/lists" -o "Dir::Cache=$t/cache" -o "Dir::Etc::preferencesparts=$t/parts"
  -o APT::Sandbox::User=root)
apt-get "${options[@]}" -qq update
depends() { # PACKAGE KIND: the packages linux-KIND-VERSION that it depends on
  apt-cache "${options[@]}" depends --important "$1" |
    sed -n "s/^ *Depends: \(linux-$2-[0-9].*\)/\1/p" | sort -u
}
real=$(depends "$package" image | head -1)
real=${real:-$package}
# Since 7.x the image and the modules are separate packages.
for p in "$real" $(depends "$real" binary) $(depends "$real" modules); do
  (cd "$t" && apt-get "${options[@]}" -qq download "$p")
done
for deb in "$t"/*.deb; do dpkg -x "$deb" "$dir"; done
find "$dir" -name 'vmlinuz*' -type f
