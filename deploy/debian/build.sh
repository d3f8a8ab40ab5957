#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# build.sh [FOLDER]: builds a Debian package into FOLDER (default: /var/cache/sandpiper/deb), and
# prints its path. VERSION in the environment replaces the program's own version.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$(realpath -m "${1:-/var/cache/sandpiper/deb}")
bazel build --noshow_progress //userspace:sandpiper //userspace/command:write_reference >&2
binary=bazel-bin/userspace/sandpiper
reference=bazel-bin/userspace/command/write_reference
version=${VERSION:-$($binary version | cut -d' ' -f2)}
architecture=$(dpkg --print-architecture)
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
root=$t/sandpiper
mkdir -p "$t/debian" "$out"
install -D -m 755 "$binary" "$root/usr/bin/sandpiper"
strip --strip-unneeded "$root/usr/bin/sandpiper"
install -D -m 644 deploy/debian/sandpiper.service "$root/lib/systemd/system/sandpiper.service"
install -D -m 644 deploy/debian/sandpiper.yaml "$root/etc/sandpiper/sandpiper.yaml"
install -D -m 600 deploy/debian/sandpiper.default "$root/etc/default/sandpiper"
share=$root/usr/share
install -d "$share"/{man/man8,doc/sandpiper,bash-completion/completions}
install -d "$share"/{zsh/vendor-completions,fish/vendor_completions.d}
"$reference" man | gzip -9n > "$share/man/man8/sandpiper.8.gz"
"$reference" bash > "$share/bash-completion/completions/sandpiper"
"$reference" zsh > "$share/zsh/vendor-completions/_sandpiper"
"$reference" fish > "$share/fish/vendor_completions.d/sandpiper.fish"
install -m 644 LICENSE "$share/doc/sandpiper/copyright"
cp -r deploy/grafana deploy/loki deploy/prometheus "$share/doc/sandpiper/"
# The linked libraries, in the versions that the program's symbols need.
printf 'Source: sandpiper\n\nPackage: sandpiper\nArchitecture: any\n' > "$t/debian/control"
depends=$(cd "$t" && dpkg-shlibdeps -O -e"$root/usr/bin/sandpiper" 2> /dev/null |
  sed -n 's/^shlibs:Depends=//p')
[ -n "$depends" ] || { echo "build.sh: dpkg-shlibdeps names no package" >&2; exit 1; }
# libcurl is loaded on first use (userspace/base/curl.cc).
curl=$(realpath "/usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH)/libcurl.so.4")
depends+=", $(dpkg-query -S "$curl" | cut -d: -f1) (>= 7.87)"
install -d "$root/DEBIAN"
install -m 755 deploy/debian/{postinst,prerm,postrm} "$root/DEBIAN/"
printf '/etc/sandpiper/sandpiper.yaml\n/etc/default/sandpiper\n' > "$root/DEBIAN/conffiles"
cat > "$root/DEBIAN/control" << CONTROL
Package: sandpiper
Version: $version
Architecture: $architecture
Maintainer: The sandpiper authors <sandpiper@localhost>
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f1)
Depends: $depends, init-system-helpers (>= 1.54)
Recommends: ca-certificates
Section: admin
Priority: optional
Description: records the egress of sandboxes with eBPF
 Watches containers, pods, systemd units and other cgroups from the host
 kernel. Records DNS lookups, connections, processes, nftables changes and
 denied attempts of each one, and reports any event that was lost. Output
 is JSON lines, OTLP and Prometheus metrics.
CONTROL
file=$out/sandpiper_${version}_${architecture}.deb
dpkg-deb --root-owner-group --build "$root" "$file" > /dev/null
echo "$file"
