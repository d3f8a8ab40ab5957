// SPDX-License-Identifier: Apache-2.0
// Restricts the system calls of this process (seccomp(2)).
#ifndef SANDPIPER_USERSPACE_PRIVILEGE_SYSTEM_CALLS_H_
#define SANDPIPER_USERSPACE_PRIVILEGE_SYSTEM_CALLS_H_

#include "absl/status/status.h"

namespace sandpiper {

enum class BpfCalls {
  kAll,       // BPF programs may still be loaded and attached
  kMapsOnly,  // maps are read and written, and iterators created
};

// From now on every thread may make only the calls that a running collector needs. Other calls fail
// with EPERM, and the kernel logs them. Programs that the process executes gain no privileges
// (no_new_privs). This cannot be undone: a later call can only restrict further.
absl::Status LimitSystemCalls(BpfCalls bpf);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_PRIVILEGE_SYSTEM_CALLS_H_
