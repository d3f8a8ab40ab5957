#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# build.sh [ARCHIVE]: builds a container image as an OCI archive (default:
# /var/cache/sandpiper/sandpiper-VERSION.oci.tar), and prints its path. The image has the program,
# its libraries, and the certificates of authorities, all from installed Debian packages. It uses no
# registry and has no shell. /usr/share/doc/sandpiper/sbom.spdx.json in the image lists the packages
# and their versions. Environment variables:
#   NAME       name of the image (default: localhost/sandpiper)
#   REVISION   commit of the source (default: git rev-parse HEAD)
set -euo pipefail
cd "$(dirname "$0")/../.."
if ! command -v buildah > /dev/null; then
  echo "build.sh: buildah is not installed; deploy/setup.sh --with-runtimes installs it" >&2
  exit 1
fi
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

# The libraries that the loader needs, at the paths where it looks: /lib is /usr/lib, as in Debian.
# libcurl is loaded by name on first use (userspace/base/curl.cc), and needs further libraries.
library_folder=/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH)
curl=$library_folder/libcurl.so.4
mkdir -p "$root"/{usr/lib,usr/lib64,etc/ssl/certs,proc,sys,tmp,run/sandpiper,var/lib/sandpiper}
ln -s usr/lib "$root/lib"
ln -s usr/lib64 "$root/lib64"
files=()
add_library() { # PATH
  local file
  file=$(realpath "$1")
  files+=("$file")
  install -D -m 755 "$file" "$root/usr/${1#/}"
}
linked_libraries() { ldd "$binary" "$curl" | grep -v ':$' | grep -oE '/(usr/)?lib[^ ]*'; }
while read -r library; do
  add_library "$library"
done < <({ echo "$curl"; linked_libraries; } | sed 's,^/usr/,/,' | sort -u)
# The C library loads these by name to resolve host names.
for library in "$library_folder"/libnss_{files,dns}.so.2; do
  if [ -e "$library" ]; then add_library "$library"; fi
done
install -m 644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
printf 'root:x:0:0:root:/:/nonexistent\n' > "$root/etc/passwd"
printf 'hosts: files dns\n' > "$root/etc/nsswitch.conf"
chmod 1777 "$root/tmp"

# The package of each file, with its version and source.
packages() {
  local file
  for file in "${files[@]}"; do
    dpkg-query -S "$file" "/usr$file" "${file#/usr}" 2> /dev/null | head -1 | cut -d: -f1 || true
  done
  echo ca-certificates
}
# shellcheck disable=SC2016 # these are fields of dpkg-query
fields='${Package}\t${Version}\t${Architecture}\t${source:Package}\n'
packages | sort -u | xargs dpkg-query -W -f "$fields" |
  python3 deploy/image/sbom.py "$version" "$revision" > "$t/sbom.spdx.json"
install -D -m 644 "$t/sbom.spdx.json" "$root/usr/share/doc/sandpiper/sbom.spdx.json"
install -m 644 LICENSE bpf/LICENSE-GPL-2.0 "$root/usr/share/doc/sandpiper/"

container=$(buildah "${storage[@]}" from scratch)
buildah "${storage[@]}" copy -q "$container" "$root" / > /dev/null
buildah "${storage[@]}" config --entrypoint '["/usr/bin/sandpiper"]' --cmd run \
  --env PATH=/usr/bin --user 0 \
  --label org.opencontainers.image.title=sandpiper \
  --label org.opencontainers.image.description="Records the egress of sandboxes with eBPF" \
  --label "org.opencontainers.image.version=$version" \
  --label "org.opencontainers.image.revision=$revision" \
  --label org.opencontainers.image.licenses=Apache-2.0 "$container"
mkdir -p "$(dirname "$archive")"
rm -f "$archive"
# The image has the time of the commit, not of the build.
time=$(git log -1 --format=%ct 2> /dev/null || echo 0)
buildah "${storage[@]}" commit -q --timestamp "$time" "$container" "$name" > /dev/null
buildah "${storage[@]}" push -q "$name" "oci-archive:$archive:$name"
echo "$archive"
