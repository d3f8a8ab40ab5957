// SPDX-License-Identifier: Apache-2.0
// What a runtime answers over the Container Runtime Interface, as containers. Pure. Their `runtime`
// is not set.
#ifndef SANDPIPER_USERSPACE_RUNTIME_CRI_REPLIES_H_
#define SANDPIPER_USERSPACE_RUNTIME_CRI_REPLIES_H_

#include <vector>

#include "cri.pb.h"
#include "userspace/runtime/container.h"

namespace sandpiper {

// Each pod's pause container, which CRI does not list, and each container with its pod, where that
// is among `pods`.
std::vector<Container> ContainersOfLists(const runtime::v1::ListContainersResponse& containers,
                                         const runtime::v1::ListPodSandboxResponse& pods);

std::vector<Container> ContainersOfEvent(const runtime::v1::ContainerEventResponse& event);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RUNTIME_CRI_REPLIES_H_
