// SPDX-License-Identifier: Apache-2.0
#ifndef SANDPIPER_USERSPACE_COMMAND_HELD_CHILD_H_
#define SANDPIPER_USERSPACE_COMMAND_HELD_CHILD_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "userspace/base/fd.h"

namespace sandpiper {

// A child process that waits for Start before it executes the command. In the meantime it is moved
// to its cgroup and watched, so that no event of the command is lost.
class HeldChild {
 public:
  // Forks at once. Call this before the process starts threads.
  static absl::StatusOr<HeldChild> Fork(const std::vector<std::string>& command);

  void Start();
  // Waits until the command is executed. Returns 0, or the errno of the failure.
  int WaitForExec() const;
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  UniqueFd start_;
  UniqueFd error_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_COMMAND_HELD_CHILD_H_
