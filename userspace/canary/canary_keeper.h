// SPDX-License-Identifier: Apache-2.0
// A process of its own that starts the canary's program whenever it is asked to. The one that asks
// has no rights to do so itself any more.
#ifndef SANDPIPER_USERSPACE_CANARY_CANARY_KEEPER_H_
#define SANDPIPER_USERSPACE_CANARY_CANARY_KEEPER_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "userspace/base/fd.h"

namespace sandpiper {

class CanaryKeeper {
 public:
  // Makes the cgroup and forks: before this process has threads. The program runs in that cgroup
  // and in a network namespace in which nobody else is. Both go when this object or this process
  // does, however that ends.
  static absl::StatusOr<std::unique_ptr<CanaryKeeper>> Start(const std::string& cgroup,
                                                             uint16_t dns_port);
  // Waits until both are gone.
  ~CanaryKeeper();
  CanaryKeeper(const CanaryKeeper&) = delete;
  CanaryKeeper& operator=(const CanaryKeeper&) = delete;

  const std::string& cgroup() const { return cgroup_; }

  // Starts the program. `quiet`: what it says on stderr is not shown.
  absl::Status Begin(bool quiet);
  // Its status (waitpid(2)) once it has ended, nothing before. An error: the keeper is gone.
  absl::StatusOr<std::optional<int>> End();

 private:
  CanaryKeeper(std::string cgroup, pid_t pid, UniqueFd asks, UniqueFd answers)
      : cgroup_(std::move(cgroup)),
        pid_(pid),
        asks_(std::move(asks)),
        answers_(std::move(answers)) {}

  std::string cgroup_;
  pid_t pid_;
  UniqueFd asks_, answers_;  // pipes
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CANARY_CANARY_KEEPER_H_
