// SPDX-License-Identifier: Apache-2.0
// The addresses of kernel functions.
#ifndef SANDPIPER_USERSPACE_PROBE_KALLSYMS_H_
#define SANDPIPER_USERSPACE_PROBE_KALLSYMS_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace sandpiper {

// Addresses from the first byte of a function (`begin`) to the first one behind it (`end`).
struct FunctionCode {
  uint64_t begin = 0;
  uint64_t end = 0;
};

// Reads `file` (proc(5)). NotFound if the kernel has no such function. PermissionDenied if the file
// hides addresses (kernel.kptr_restrict, CAP_SYSLOG).
absl::StatusOr<FunctionCode> FindFunction(const std::string& name,
                                          const std::string& file = "/proc/kallsyms");

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_PROBE_KALLSYMS_H_
