// SPDX-License-Identifier: Apache-2.0
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

// Whether the error messages of the test process reach the collector's stderr.
enum class ProgramErrors { kShow, kHide };

// The keeper: a child process of the collector that starts the test process whenever the collector
// asks for it. By then the collector has dropped the capabilities that this takes.
class CanaryKeeper {
 public:
  // Creates the cgroup and forks, so call it before this process has threads. The test process runs
  // in that cgroup, and in a network namespace that no other process uses. The keeper removes both
  // when this object is destroyed, or this process ends in whatever way.
  static absl::StatusOr<std::unique_ptr<CanaryKeeper>> Start(const std::string& cgroup,
                                                             uint16_t dns_port);
  // Waits until both are removed.
  ~CanaryKeeper();
  CanaryKeeper(const CanaryKeeper&) = delete;
  CanaryKeeper& operator=(const CanaryKeeper&) = delete;

  const std::string& cgroup() const { return cgroup_; }

  // Starts the test process. Returns at once.
  absl::Status RunProgram(ProgramErrors errors);
  // The status (waitpid(2)) of the test process once it has ended, nothing before. An error: the
  // keeper has ended.
  absl::StatusOr<std::optional<int>> PollStatus();

 private:
  CanaryKeeper(std::string cgroup, pid_t pid, UniqueFd requests, UniqueFd replies)
      : cgroup_(std::move(cgroup)),
        pid_(pid),
        requests_(std::move(requests)),
        replies_(std::move(replies)) {}

  std::string cgroup_;
  pid_t pid_;
  UniqueFd requests_;  // a pipe to the keeper
  UniqueFd replies_;   // a pipe from the keeper
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CANARY_CANARY_KEEPER_H_
