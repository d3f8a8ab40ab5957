// SPDX-License-Identifier: Apache-2.0
// Creates files that only their user may read.
#ifndef SANDPIPER_USERSPACE_BASE_PRIVATE_FILE_H_
#define SANDPIPER_USERSPACE_BASE_PRIVATE_FILE_H_

#include <string>

#include "absl/status/statusor.h"
#include "userspace/base/fd.h"

namespace sandpiper {

// Opens a file for writing, creates it if it does not exist, and gives it the mode 0600 in any
// case. The content stays.
//
// Nobody can redirect the output: it is an error if `path` is a symbolic link, or a file with
// several names (hard links). A device or a pipe is opened as it is. /dev/stdout, /dev/stderr and
// /dev/fd/N are the descriptors of this process. `what` names the file in errors.
absl::StatusOr<UniqueFd> OpenPrivateFile(const std::string& path, const std::string& what);

// OpenPrivateFile, and then removes what a regular file contained before.
absl::StatusOr<UniqueFd> CreatePrivateFile(const std::string& path, const std::string& what);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_BASE_PRIVATE_FILE_H_
