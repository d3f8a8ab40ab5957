// SPDX-License-Identifier: Apache-2.0
// Runs code in another network namespace.
#ifndef SANDPIPER_USERSPACE_BASE_NETNS_H_
#define SANDPIPER_USERSPACE_BASE_NETNS_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "userspace/base/fd.h"

namespace sandpiper {

// The inode number of a network namespace, which identifies it. `fd` is an open /proc/PID/ns/net.
// Returns 0 if it is not open.
uint32_t NamespaceInode(const UniqueFd& fd);

// Moves the calling thread into the namespace, runs `work`, moves the thread back, and returns the
// result of `work`. Needs CAP_SYS_ADMIN. Aborts the process if the thread cannot return, because
// all later code would run in the wrong namespace.
absl::Status RunInNamespace(const UniqueFd& netns, const std::function<absl::Status()>& work);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_BASE_NETNS_H_
