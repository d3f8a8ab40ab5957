// SPDX-License-Identifier: Apache-2.0
// The lockdown mode of the kernel, which restricts even root (kernel_lockdown(7),
// security/lockdown/lockdown.c).
#ifndef SANDPIPER_USERSPACE_BASE_LOCKDOWN_H_
#define SANDPIPER_USERSPACE_BASE_LOCKDOWN_H_

#include <string>

namespace sandpiper {

constexpr char kLockdownFile[] = "/sys/kernel/security/lockdown";

// "none", "integrity" or "confidentiality". Empty if the file cannot be read, for example because
// securityfs is not mounted.
std::string LockdownMode(const std::string& file = kLockdownFile);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_BASE_LOCKDOWN_H_
