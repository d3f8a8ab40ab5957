// SPDX-License-Identifier: Apache-2.0
// Reads the OCI configuration that a runtime writes for runc or crun. It exists before the first
// process of the container, but has no labels of the container or its pod.
#ifndef SANDPIPER_USERSPACE_RUNTIME_OCI_BUNDLE_H_
#define SANDPIPER_USERSPACE_RUNTIME_OCI_BUNDLE_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "userspace/runtime/container.h"

namespace sandpiper {

// Folders with a subfolder for each container id, which contains config.json or
// userdata/config.json. "*" matches any one folder.
std::vector<std::string> DefaultBundleFolders();

// Parses config.json (OCI runtime specification); nullopt if it is invalid. The result is never
// complete.
std::optional<Container> ParseBundle(const std::string& id, std::string_view json);

// Looks for the container's bundle in all folders below `root`; nullopt if there is none. Reads at
// most 1 MiB of a file.
std::optional<Container> FindBundle(const std::string& id, const std::vector<std::string>& folders,
                                    const std::string& root = "");

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RUNTIME_OCI_BUNDLE_H_
