// SPDX-License-Identifier: Apache-2.0
// What the kernel keeps from root (security/lockdown/lockdown.c, kernel_lockdown(7)).
#ifndef SANDPIPER_USERSPACE_BASE_LOCKDOWN_H_
#define SANDPIPER_USERSPACE_BASE_LOCKDOWN_H_

#include <string>

namespace sandpiper {

constexpr char kLockdownFile[] = "/sys/kernel/security/lockdown";

// "none", "integrity" or "confidentiality"; empty where the file does not tell, as where securityfs
// is not mounted.
std::string LockdownMode(const std::string& file = kLockdownFile);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_BASE_LOCKDOWN_H_
