// SPDX-License-Identifier: Apache-2.0
// Finds the container, pod or systemd unit in the path of a cgroup. No I/O.
#ifndef SANDPIPER_USERSPACE_SANDBOX_CGROUP_PATH_H_
#define SANDPIPER_USERSPACE_SANDBOX_CGROUP_PATH_H_

#include <string>
#include <string_view>

namespace sandpiper {

struct CgroupPath {
  // 64 hexadecimal digits, or a name for LXC. The innermost one where containers are nested.
  std::string container_id;
  // Written with dashes; for a static pod, 32 digits without dashes.
  std::string pod_uid;
  // The systemd unit, unescaped (systemd.unit(5)); only where there is no container.
  std::string unit;
  // docker, containerd, cri-o, podman or lxc; empty if the path does not show it.
  std::string runtime;
  // The cgroup of a container's monitor (conmon), which is no part of the container.
  bool monitor = false;
};

// `path` starts at the root of the hierarchy, or is the path that /proc/PID/cgroup shows inside a
// cgroup namespace.
CgroupPath ParseCgroupPath(std::string_view path);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_SANDBOX_CGROUP_PATH_H_
