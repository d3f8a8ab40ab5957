// SPDX-License-Identifier: Apache-2.0
// Files as a whole.
#ifndef SANDPIPER_USERSPACE_BASE_FILE_H_
#define SANDPIPER_USERSPACE_BASE_FILE_H_

#include <optional>
#include <string>

namespace sandpiper {

// Nothing where it cannot be opened, or reading it fails, as that of a process or cgroup that goes
// meanwhile (ESRCH, ENODEV): on such a file a std::istreambuf_iterator throws.
std::optional<std::string> ReadFile(const std::string& path);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_BASE_FILE_H_
