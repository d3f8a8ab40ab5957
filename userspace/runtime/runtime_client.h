// SPDX-License-Identifier: Apache-2.0
// One container runtime, asked over its unix socket.
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

// Of one call: a runtime that hangs costs no more.
inline constexpr std::chrono::milliseconds kCallTimeout{5'000};
// Of one answer; what is longer is an error.
inline constexpr size_t kAnswerMax = 64 << 20;

class RuntimeClient {
 public:
  virtual ~RuntimeClient() = default;

  // Nothing where the runtime knows no such container. Unavailable while nobody answers; any other
  // error is about this one answer.
  virtual absl::StatusOr<std::optional<Container>> Find(const std::string& id) = 0;
  // All there are, stopped ones too.
  virtual absl::StatusOr<std::vector<Container>> List() = 0;
  // Tells of each container as the runtime does, until the stream ends or `stop` is true, which is
  // looked at once a second at least. Unimplemented where it has no such stream. Called by another
  // thread than the other two.
  virtual absl::Status Follow(const std::atomic<bool>& stop,
                              const std::function<void(Container)>& tell) = 0;
};

// The Container Runtime Interface, v1: containerd, CRI-O.
std::unique_ptr<RuntimeClient> MakeCriClient(const std::string& socket);
// The Docker Engine API, 1.40 and later, which Podman's service speaks too.
std::unique_ptr<RuntimeClient> MakeEngineClient(const std::string& socket);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RUNTIME_RUNTIME_CLIENT_H_
