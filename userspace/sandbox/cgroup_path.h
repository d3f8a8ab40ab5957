// SPDX-License-Identifier: Apache-2.0
// What the path of a cgroup says of its container, pod or unit. Pure.
#ifndef SANDPIPER_USERSPACE_SANDBOX_CGROUP_PATH_H_
#define SANDPIPER_USERSPACE_SANDBOX_CGROUP_PATH_H_

#include <string>
#include <string_view>

namespace sandpiper {

struct CgroupPath {
  std::string container_id;  // 64 hexadecimal digits, or a name for LXC; of the innermost where
                             // containers are nested
  std::string pod_uid;       // with dashes; of static pods 32 digits without
  std::string unit;          // of systemd, unescaped (systemd.unit(5)); where there is no container
  std::string
      runtime;  // docker, containerd, cri-o, podman, lxc; empty where the path does not tell
  bool monitor = false;  // of a container's monitor (conmon), which is no part of the container
};

// `path`: from the root of the hierarchy, or as /proc/PID/cgroup has it in a cgroup namespace.
CgroupPath ParseCgroupPath(std::string_view path);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_SANDBOX_CGROUP_PATH_H_
