// SPDX-License-Identifier: Apache-2.0
// Work in another network namespace.
#ifndef SANDPIPER_USERSPACE_BASE_NETNS_H_
#define SANDPIPER_USERSPACE_BASE_NETNS_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "userspace/base/fd.h"

namespace sandpiper {

// The inode number that names the namespace behind an open file of /proc/PID/ns/net, 0 if there is
// none.
uint32_t NamespaceInode(const UniqueFd& fd);

// Runs `work` with the calling thread in the namespace, and returns what it returned; needs
// CAP_SYS_ADMIN. The thread is back afterwards: a kernel that does not let it back ends the
// process, since all that came next would be in the wrong place.
absl::Status RunInNamespace(const UniqueFd& netns, const std::function<absl::Status()>& work);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_BASE_NETNS_H_
