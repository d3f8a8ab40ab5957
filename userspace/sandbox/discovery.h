// SPDX-License-Identifier: Apache-2.0
// What to look for, and whom to ask.
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
  std::vector<SelectionRule> rules;  // none: only what is named is watched
  std::vector<RuntimeSocket> sockets;
  std::vector<std::string> bundle_folders = DefaultBundleFolders();
  std::chrono::milliseconds metadata_wait{5'000};  // for what a runtime says of a container
  std::set<std::string> sidecars = {
      "egress"};  // names of containers in a pod that are not its application
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_SANDBOX_DISCOVERY_H_
