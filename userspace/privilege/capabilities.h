// SPDX-License-Identifier: Apache-2.0
// Drops capabilities (capabilities(7)). Each thread has its own: one can drop a capability that
// another one keeps.
#ifndef SANDPIPER_USERSPACE_PRIVILEGE_CAPABILITIES_H_
#define SANDPIPER_USERSPACE_PRIVILEGE_CAPABILITIES_H_

#include <functional>
#include <set>

#include "absl/status/status.h"

namespace sandpiper {

// CAP_… of <linux/capability.h>.
using Capabilities = std::set<int>;

// The calling thread drops all capabilities but those of `kept` that it has. It cannot get them
// back, and threads that it starts from now on lack them too.
absl::Status KeepCapabilities(const Capabilities& kept);

// Runs `work` in a new thread without any capability and waits for it. Threads that `work` starts
// have none either. On an error `work` did not run.
absl::Status RunWithoutCapabilities(const std::function<void()>& work);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_PRIVILEGE_CAPABILITIES_H_
