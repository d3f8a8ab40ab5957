#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# build.sh [ARCHIVE]: a container image of what bazel built, as an OCI archive (default: /var/cache/sandpiper/sandpiper-VERSION.oci.tar); prints its
# path. It holds the program, the libraries that it is linked with, and certificates of authorities: files of installed Debian packages, no registry
# and no shell. `/usr/share/doc/sandpiper/sbom.spdx.json` in it says which packages, in which versions.
#   NAME=localhost/sandpiper   REVISION=$(git rev-parse HEAD)   in the environment
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v buildah > /dev/null || { echo "build.sh: buildah is not installed; deploy/setup.sh --with-runtimes installs it" >&2; exit 1; }
bazel build --noshow_progress //userspace:sandpiper >&2
binary=$(realpath bazel-bin/userspace/sandpiper)
version=$($binary version | cut -d' ' -f2)
archive=$(realpath -m "${1:-/var/cache/sandpiper/sandpiper-$version.oci.tar}")
name=${NAME:-localhost/sandpiper}:$version
revision=${REVISION:-$(git rev-parse HEAD 2> /dev/null || echo unknown)}
t=$(mktemp -d)
storage=(--root "$t/storage" --runroot "$t/run" --storage-driver vfs)
trap 'rm -rf "$t"' EXIT
root=$t/root
install -D -m 755 "$binary" "$root/usr/bin/sandpiper"
strip --strip-unneeded "$root/usr/bin/sandpiper"

# What the loader would load, at the paths where it looks: /lib is /usr/lib, as in Debian. libcurl is loaded by name, when it is first needed
# (userspace/base/curl.cc), and brings libraries of its own.
curl=/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH)/libcurl.so.4
mkdir -p "$root"/usr/{lib,lib64} "$root"/{etc/ssl/certs,proc,sys,run/sandpiper,var/lib/sandpiper,tmp}
ln -s usr/lib "$root/lib"
ln -s usr/lib64 "$root/lib64"
files=()
while read -r library; do
  file=$(realpath "$library")
  files+=("$file")
  install -D -m 755 "$file" "$root/usr/${library#/}"
done < <({ echo "$curl"; ldd "$binary" "$curl" | grep -v ':$' | grep -oE '/(usr/)?lib[^ ]*'; } | sed 's,^/usr/,/,' | sort -u)
# Looked up by name at run time: host names.
for library in /lib/"$(dpkg-architecture -qDEB_HOST_MULTIARCH)"/libnss_{files,dns}.so.2; do
  [ ! -e "$library" ] || { files+=("$(realpath "$library")"); install -D -m 755 "$(realpath "$library")" "$root/usr/${library#/}"; }
done
install -m 644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
printf 'root:x:0:0:root:/:/nonexistent\n' > "$root/etc/passwd"
printf 'hosts: files dns\n' > "$root/etc/nsswitch.conf"
chmod 1777 "$root/tmp"

# A package for each file, and what it says of itself.
{ for file in "${files[@]}"; do dpkg-query -S "$file" "/usr$file" "${file#/usr}" 2> /dev/null | head -1 | cut -d: -f1 || true; done; echo ca-certificates; } |
  sort -u | xargs dpkg-query -W -f '${Package}\t${Version}\t${Architecture}\t${source:Package}\n' |
  python3 deploy/image/sbom.py "$version" "$revision" > "$t/sbom.spdx.json"
install -D -m 644 "$t/sbom.spdx.json" "$root/usr/share/doc/sandpiper/sbom.spdx.json"
install -m 644 LICENSE bpf/LICENSE-GPL-2.0 "$root/usr/share/doc/sandpiper/"

container=$(buildah "${storage[@]}" from scratch)
buildah "${storage[@]}" copy -q "$container" "$root" / > /dev/null
buildah "${storage[@]}" config --entrypoint '["/usr/bin/sandpiper"]' --cmd run --env PATH=/usr/bin --user 0 \
  --label org.opencontainers.image.title=sandpiper \
  --label org.opencontainers.image.description="Egress of sandboxes, told by the host kernel" \
  --label "org.opencontainers.image.version=$version" --label "org.opencontainers.image.revision=$revision" \
  --label org.opencontainers.image.licenses=Apache-2.0 "$container"
mkdir -p "$(dirname "$archive")"
rm -f "$archive"
# The time is the commit's, not that of the build.
buildah "${storage[@]}" commit -q --timestamp "$(git log -1 --format=%ct 2> /dev/null || echo 0)" "$container" "$name" > /dev/null
buildah "${storage[@]}" push -q "$name" "oci-archive:$archive:$name"
echo "$archive"
