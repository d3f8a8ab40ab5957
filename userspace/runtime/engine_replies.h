// SPDX-License-Identifier: Apache-2.0
// Parses answers of the Docker Engine API (https://docs.docker.com/engine/api/v1.40/), which
// Podman's service speaks too. A value of a wrong type counts as absent. No I/O.
#ifndef SANDPIPER_USERSPACE_RUNTIME_ENGINE_REPLIES_H_
#define SANDPIPER_USERSPACE_RUNTIME_ENGINE_REPLIES_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "userspace/runtime/container.h"

namespace sandpiper {

// Each returns Internal for text that is no JSON, and leaves `runtime` empty.

// GET /version: docker or podman.
absl::StatusOr<std::string> EngineName(std::string_view json);
// GET /containers/ID/json.
absl::StatusOr<Container> ContainerOfInspect(std::string_view json);
// GET /containers/json has no environment and no network: the containers are incomplete.
absl::StatusOr<std::vector<Container>> ContainersOfList(std::string_view json);
// A line of GET /events, also incomplete; nullopt if it names no container.
std::optional<Container> ContainerOfEvent(std::string_view json);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RUNTIME_ENGINE_REPLIES_H_
