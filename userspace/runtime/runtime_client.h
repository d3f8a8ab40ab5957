// SPDX-License-Identifier: Apache-2.0
// A client of one container runtime, over its unix socket. Calls block.
#ifndef SANDPIPER_USERSPACE_RUNTIME_RUNTIME_CLIENT_H_
#define SANDPIPER_USERSPACE_RUNTIME_RUNTIME_CLIENT_H_

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "userspace/runtime/container.h"

namespace sandpiper {

// The longest that one call may take, so that a runtime that hangs blocks no longer.
inline constexpr std::chrono::milliseconds kCallTimeout{5'000};
// The size limit of one answer. A longer answer is an error.
inline constexpr size_t kAnswerMax = 64 << 20;

class RuntimeClient {
 public:
  virtual ~RuntimeClient() = default;

  // nullopt if the runtime knows no such container. Unavailable if the runtime does not answer;
  // other errors concern only this answer.
  virtual absl::StatusOr<std::optional<Container>> Find(const std::string& id) = 0;
  // All containers, stopped ones too.
  virtual absl::StatusOr<std::vector<Container>> List() = 0;
  // Reports each container for which the runtime streams an event, until the stream ends or `stop`
  // is true, which is checked at least once a second. Unimplemented if the runtime has no such
  // stream. Find and List run on one thread, Follow on another.
  virtual absl::Status Follow(const std::atomic<bool>& stop,
                              const std::function<void(Container)>& report) = 0;
};

// The Container Runtime Interface, v1: containerd, CRI-O.
std::unique_ptr<RuntimeClient> MakeCriClient(const std::string& socket);
// The Docker Engine API, 1.40 and later, which Podman's service speaks too.
std::unique_ptr<RuntimeClient> MakeEngineClient(const std::string& socket);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RUNTIME_RUNTIME_CLIENT_H_
