// SPDX-License-Identifier: Apache-2.0
// Configuration of discovery: the selection rules, and where metadata of containers comes from.
#ifndef SANDPIPER_USERSPACE_SANDBOX_DISCOVERY_H_
#define SANDPIPER_USERSPACE_SANDBOX_DISCOVERY_H_

#include <chrono>
#include <set>
#include <string>
#include <vector>

#include "userspace/runtime/oci_bundle.h"
#include "userspace/runtime/runtimes.h"
#include "userspace/sandbox/selection_rules.h"

namespace sandpiper {

struct DiscoveryOptions {
  std::vector<SelectionRule> rules;  // none: only cgroups named with --cgroup are watched
  std::vector<RuntimeSocket> sockets;
  std::vector<std::string> bundle_folders = DefaultBundleFolders();
  // How long events of a new container wait for its metadata.
  std::chrono::milliseconds metadata_wait{5'000};
  // Names of containers of a pod that are not its application.
  std::set<std::string> sidecars = {"egress"};
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_SANDBOX_DISCOVERY_H_
