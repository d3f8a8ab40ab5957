// SPDX-License-Identifier: Apache-2.0
// Capabilities (capabilities(7)). They are a thread's own: one can give up what another keeps.
#ifndef SANDPIPER_USERSPACE_PRIVILEGE_CAPABILITIES_H_
#define SANDPIPER_USERSPACE_PRIVILEGE_CAPABILITIES_H_

#include <functional>
#include <set>

#include "absl/status/status.h"

namespace sandpiper {

// CAP_… of <linux/capability.h>.
using Capabilities = std::set<int>;

// The calling thread gives up all but those of `kept` that it has; for good, as do the threads that
// it starts from now on.
absl::Status KeepCapabilities(const Capabilities& kept);

// Runs `work` in a thread of its own that has none, and waits for it. Threads that `work` starts
// have none either. An error: it did not run.
absl::Status RunWithoutCapabilities(const std::function<void()>& work);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_PRIVILEGE_CAPABILITIES_H_
