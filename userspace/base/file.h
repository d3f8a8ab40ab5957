// SPDX-License-Identifier: Apache-2.0
// Reads whole files.
#ifndef SANDPIPER_USERSPACE_BASE_FILE_H_
#define SANDPIPER_USERSPACE_BASE_FILE_H_

#include <optional>
#include <string>

namespace sandpiper {

// Nothing if the file cannot be opened or read. Files of processes and cgroups fail so with ESRCH
// or ENODEV if the process or cgroup is removed meanwhile. std::istreambuf_iterator would throw
// then.
std::optional<std::string> ReadFile(const std::string& path);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_BASE_FILE_H_
