#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# initrd.sh OUT KERNEL_DIR: creates an initramfs of busybox, guest-init.sh, and the modules for the
# host's file system and the scenarios. With MODULE_BTF=no the modules have no BTF.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$(realpath -m "$1") kernel=$2
modules="crc32c_generic virtio_pci 9pnet_virtio 9p overlay veth nf_tables nft_chain_nat nft_redir"
modules+=" nft_ct nft_reject_inet nft_counter nft_compat tun sch_ingress cls_matchall act_gact"
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
mkdir -p "$t"/{bin,modules,proc,sys,dev,host,upper,root}
cp /bin/busybox "$t/bin/"
for applet in sh sed mount umount mkdir insmod cat echo switch_root ip; do
  ln -s busybox "$t/bin/$applet"
done
cp "$here/guest-init.sh" "$t/init"
: > "$t/modules/order"
# An unpacked package has no modules.dep, so dependencies are read from each module. A module that
# is built into the kernel has no file.
add() {
  local name=$1 file d
  [ ! -e "$t/modules/$name.ko" ] || return 0
  file=$(find -L "$kernel" \( -name "$name.ko*" -o -name "${name//_/-}.ko*" \) | head -1)
  [ -n "$file" ] || return 0
  case $file in
    *.xz) xz -dc "$file" ;;
    *.zst) zstd -dcq "$file" ;;
    *) cat "$file" ;;
  esac > "$t/modules/$name.ko"
  [ "${MODULE_BTF:-yes}" = yes ] || objcopy --remove-section=.BTF "$t/modules/$name.ko"
  for d in $(objcopy -O binary --only-section=.modinfo "$t/modules/$name.ko" /dev/stdout |
    tr '\0' '\n' | sed -n 's/^depends=//p' | tr ',' ' '); do
    add "$d"
  done
  echo "$name" >> "$t/modules/order"
}
for m in $modules; do add "$m"; done
(cd "$t" && find . | cpio -o -H newc --quiet | gzip -1) > "$out"
