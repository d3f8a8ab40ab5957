// SPDX-License-Identifier: Apache-2.0
// The configuration that a runtime wrote for runc or crun before it started the container: there
// before the first process, but without the labels of the container or its pod.
#ifndef SANDPIPER_USERSPACE_RUNTIME_OCI_BUNDLE_H_
#define SANDPIPER_USERSPACE_RUNTIME_OCI_BUNDLE_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "userspace/runtime/container.h"

namespace sandpiper {

// Folders that hold a folder ID for each container, with the bundle's config.json in it or in
// userdata/; "*" stands for any one folder.
std::vector<std::string> DefaultBundleFolders();

// From config.json (OCI runtime specification); nothing if it cannot be understood. Never complete.
std::optional<Container> ParseBundle(const std::string& id, std::string_view json);

// Looks in all folders below `root`; nothing if no bundle of the container is there. Reads at most
// 1 MiB.
std::optional<Container> FindBundle(const std::string& id, const std::vector<std::string>& folders,
                                    const std::string& root = "");

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RUNTIME_OCI_BUNDLE_H_
