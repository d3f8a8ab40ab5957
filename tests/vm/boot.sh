#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# boot.sh KERNEL_DIR INITRD COMMAND: boots a guest under software emulation over the host's file system and runs COMMAND (blanks as +) in it.
# CPU, CPUS, MEMORY (MiB), LSM, ARGUMENTS (of the kernel) make it another one than usual; with ICOUNT its clock counts instructions.
set -euo pipefail
kernel=$(find "$1" -name 'vmlinuz*' -type f | head -1)
accelerator=(-accel tcg,thread=multi -smp "${CPUS:-2}")
# A nanosecond for each instruction, on one CPU; what nobody does takes no time.
[ -z "${ICOUNT:-}" ] || accelerator=(-accel tcg -icount shift=0,sleep=off -smp 1)
# Without cx16: QEMU 7.2 mishandles cmpxchg16b, kernels from 6.12 on then panic now and then. Without erms: a kernel that has it copies and
# clears memory byte by byte (rep stosb), each of which is a step of QEMU's; else it is eight at a time.
exec timeout "${LIMIT:-2700}" qemu-system-x86_64 "${accelerator[@]}" -cpu "${CPU:-max,la57=off,-cx16},-erms" -m "${MEMORY:-3072}" \
  -nodefaults -nographic -no-reboot -serial stdio -kernel "$kernel" -initrd "$2" \
  -virtfs local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap \
  -append "console=ttyS0 quiet panic=-1 mitigations=off lsm=${LSM:-lockdown,capability,bpf} ${ARGUMENTS:-} GUEST_COMMAND=$3 ${GUEST_INIT:+GUEST_INIT=$GUEST_INIT}"
