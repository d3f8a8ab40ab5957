#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# boot.sh KERNEL_DIR INITRD COMMAND: boots a guest under software emulation. Its root is the host's
# file system, read-only. Runs COMMAND there, with + instead of each blank. The environment changes
# the guest: CPU, CPUS, MEMORY (MiB), LSM, ARGUMENTS (of the kernel), GUEST_INIT. With ICOUNT the
# clock of the guest counts instructions. LIMIT is the timeout in seconds.
set -euo pipefail
kernel=$(find "$1" -name 'vmlinuz*' -type f | head -1)
accelerator=(-accel "tcg,thread=multi" -smp "${CPUS:-2}")
# Each instruction takes a nanosecond, on one CPU. Idle time is skipped.
[ -z "${ICOUNT:-}" ] || accelerator=(-accel tcg -icount "shift=0,sleep=off" -smp 1)
# -cx16: QEMU 7.2 emulates cmpxchg16b wrongly, and kernels from 6.12 on panic sometimes.
# -erms: with it, a kernel copies and clears memory byte by byte (rep stosb), and QEMU emulates each
# byte as a step. Without it, a step is eight bytes.
command_line="console=ttyS0 quiet panic=-1 mitigations=off"
command_line+=" lsm=${LSM:-lockdown,capability,bpf} ${ARGUMENTS:-}"
command_line+=" GUEST_COMMAND=$3 ${GUEST_INIT:+GUEST_INIT=$GUEST_INIT}"
exec timeout "${LIMIT:-2700}" qemu-system-x86_64 "${accelerator[@]}" \
  -cpu "${CPU:-max,la57=off,-cx16},-erms" -m "${MEMORY:-3072}" \
  -nodefaults -nographic -no-reboot -serial stdio -kernel "$kernel" -initrd "$2" \
  -virtfs local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap \
  -append "$command_line"
