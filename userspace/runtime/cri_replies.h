// SPDX-License-Identifier: Apache-2.0
// Converts answers of the Kubernetes Container Runtime Interface to containers. Leaves their
// `runtime` empty. No I/O.
#ifndef SANDPIPER_USERSPACE_RUNTIME_CRI_REPLIES_H_
#define SANDPIPER_USERSPACE_RUNTIME_CRI_REPLIES_H_

#include <vector>

#include "cri.pb.h"
#include "userspace/runtime/container.h"

namespace sandpiper {

// Returns a pause container for each pod, because CRI does not list them, and each container with
// its pod if `pods` contains it.
std::vector<Container> ContainersOfLists(const runtime::v1::ListContainersResponse& containers,
                                         const runtime::v1::ListPodSandboxResponse& pods);

std::vector<Container> ContainersOfEvent(const runtime::v1::ContainerEventResponse& event);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RUNTIME_CRI_REPLIES_H_
