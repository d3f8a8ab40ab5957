// SPDX-License-Identifier: Apache-2.0
// What the Docker Engine API answers (https://docs.docker.com/engine/api/v1.40/), Podman's service
// likewise. Pure; whatever is absent, or of another type than the API says, is as if it were not
// there.
#ifndef SANDPIPER_USERSPACE_RUNTIME_ENGINE_REPLIES_H_
#define SANDPIPER_USERSPACE_RUNTIME_ENGINE_REPLIES_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "userspace/runtime/container.h"

namespace sandpiper {

// All of them: Internal for what is no JSON. `runtime` is not set.

// GET /version: docker or podman.
absl::StatusOr<std::string> EngineName(std::string_view json);
// GET /containers/ID/json.
absl::StatusOr<Container> ContainerOfInspect(std::string_view json);
// GET /containers/json: without environment and network, incomplete.
absl::StatusOr<std::vector<Container>> ContainersOfList(std::string_view json);
// A line of GET /events: likewise incomplete. Nothing for one that names no container.
std::optional<Container> ContainerOfEvent(std::string_view json);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RUNTIME_ENGINE_REPLIES_H_
