// SPDX-License-Identifier: Apache-2.0
// A filter of the system calls that this process makes (seccomp(2)).
#ifndef SANDPIPER_USERSPACE_PRIVILEGE_SYSTEM_CALLS_H_
#define SANDPIPER_USERSPACE_PRIVILEGE_SYSTEM_CALLS_H_

#include "absl/status/status.h"

namespace sandpiper {

enum class BpfCalls {
  kAll,       // programs may still be loaded and attached
  kMapsOnly,  // what is loaded is read and written
};

// From now on every thread makes only the calls that a running collector needs, and no program that
// it may start gains privileges (no_new_privs). Others fail with EPERM, and the kernel's log tells
// of them. For good; a later call can only take more away.
absl::Status LimitSystemCalls(BpfCalls bpf);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_PRIVILEGE_SYSTEM_CALLS_H_
