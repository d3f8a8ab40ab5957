// SPDX-License-Identifier: Apache-2.0
#ifndef SANDPIPER_USERSPACE_SANDBOX_SANDBOX_IDENTITY_H_
#define SANDPIPER_USERSPACE_SANDBOX_SANDBOX_IDENTITY_H_

#include <cstdint>
#include <string>

namespace sandpiper {

// Identifies one sandbox from its start to its end.
struct SandboxIdentity {
  uint64_t serial = 0;  // unique in the life of this process
  std::string id;       // the attribute sandbox_id, escaped
  // The attribute of sandbox.count: cgroup, device, systemd, or the name of the container runtime.
  std::string runtime;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_SANDBOX_SANDBOX_IDENTITY_H_
