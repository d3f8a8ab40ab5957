#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# PID 1 of a guest. Mounts the host's file system, read-only, under an overlay in memory, and only
# cgroup v2. Then runs the command after GUEST_COMMAND= in the kernel's arguments and powers off.
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
while read -r m; do
  insmod "/modules/$m.ko" || echo "guest: module $m does not load"
done < /modules/order
mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=512000,cache=loose host /host ||
  echo "guest: no host file system"
mount -t tmpfs tmpfs /upper
mkdir -p /upper/data /upper/work
mount -t overlay -o lowerdir=/host,upperdir=/upper/data,workdir=/upper/work overlay /root
for d in proc sys dev tmp run; do mkdir -p "/root/$d"; done
umount /proc /sys /dev 2>/dev/null
mount -t proc proc /root/proc
mount -t sysfs sysfs /root/sys
mount -t devtmpfs dev /root/dev
mount -t tmpfs tmpfs /root/tmp
mount -t tmpfs tmpfs /root/run
# With GUEST_CGROUPS=hybrid: cgroup v1 and v2, as systemd mounts them.
case $(cat /root/proc/cmdline) in
  *GUEST_CGROUPS=hybrid*)
    mount -t tmpfs tmpfs /root/sys/fs/cgroup
    for controller in cpu,cpuacct memory pids; do
      mkdir /root/sys/fs/cgroup/$controller
      mount -t cgroup -o $controller cgroup /root/sys/fs/cgroup/$controller
    done
    mkdir /root/sys/fs/cgroup/unified
    mount -t cgroup2 cgroup2 /root/sys/fs/cgroup/unified
    ;;
  *) mount -t cgroup2 cgroup2 /root/sys/fs/cgroup ;;
esac
mount -t securityfs securityfs /root/sys/kernel/security
mkdir -p /root/dev/pts /root/dev/shm
mount -t devpts devpts /root/dev/pts
mount -t tmpfs tmpfs /root/dev/shm
ip link set lo up
echo "guest: linux $(cat /root/proc/sys/kernel/osrelease) lsm $(cat /root/sys/kernel/security/lsm)"
command=$(cat /root/proc/cmdline)
command=${command#*GUEST_COMMAND=}
command=$(echo "${command%% *}" | sed 's/+/ /g')
# With GUEST_INIT=systemd: systemd is PID 1, the command is a service, and no other unit is started.
case $(cat /root/proc/cmdline) in
  *GUEST_INIT=systemd*)
    echo "($command); echo guest: status \$?" > /root/etc/guest-command
    cat > /root/etc/systemd/system/guest.service << 'UNIT'
[Unit]
DefaultDependencies=no
SuccessAction=poweroff-force
FailureAction=poweroff-force
[Service]
Type=oneshot
TimeoutStartSec=infinity
Environment=PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
ExecStart=/bin/sh /etc/guest-command
StandardOutput=file:/dev/console
StandardError=file:/dev/console
UNIT
    exec switch_root /root /lib/systemd/systemd --unit=guest.service --show-status=no \
      --log-level=warning
    ;;
esac
# switch_root instead of chroot: paths of processes in other mount namespaces are then the same as
# on an ordinary host.
exec switch_root /root /usr/bin/env -i \
  PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
  /bin/sh -c "($command); echo guest: status \$?; echo o > /proc/sysrq-trigger; sleep 60"
