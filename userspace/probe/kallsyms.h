// SPDX-License-Identifier: Apache-2.0
// Where the kernel's functions lie.
#ifndef SANDPIPER_USERSPACE_PROBE_KALLSYMS_H_
#define SANDPIPER_USERSPACE_PROBE_KALLSYMS_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace sandpiper {

// Addresses in the kernel: from the first byte of a function to the one of what comes after it.
struct FunctionCode {
  uint64_t begin = 0, end = 0;
};

// `file`: proc(5). PermissionDenied where it hides addresses from us (kernel.kptr_restrict,
// CAP_SYSLOG).
absl::StatusOr<FunctionCode> FindFunction(const std::string& name,
                                          const std::string& file = "/proc/kallsyms");

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_PROBE_KALLSYMS_H_
