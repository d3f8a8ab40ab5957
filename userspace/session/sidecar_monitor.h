// SPDX-License-Identifier: Apache-2.0
#ifndef SANDPIPER_USERSPACE_SESSION_SIDECAR_MONITOR_H_
#define SANDPIPER_USERSPACE_SESSION_SIDECAR_MONITOR_H_

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "userspace/correlate/process_table.h"
#include "userspace/ruleset/opensandbox_policy.h"
#include "userspace/session/session_context.h"

namespace sandpiper {

// Follows the egress sidecar of one sandbox: finds its program and reports its policy.
//
// The program is known by its name. An image may give it another name. So if there is no program
// with that name, the first program that has the sidecar's variables counts, once it has run long
// enough. That leaves out those that start the sidecar or that it starts.
class SidecarMonitor {
 public:
  explicit SidecarMonitor(SessionContext* context, std::string proc = "/proc")
      : context_(context), proc_(std::move(proc)) {}

  // A program of a sidecar started, or was running already.
  void OnProgram(const Process& process, uint64_t time_ns);
  void OnExit(const ProcessKey& process);
  // Reports a program that has run long enough.
  void ExpireDue(uint64_t now_ns);
  uint64_t NextDeadline() const;

  // The policy of the running sidecar. Null if there is none, or if its policy is unknown.
  const Ruleset* policy() const {
    return running_ && running_->policy.rules.ok() ? &*running_->policy.rules : nullptr;
  }

 private:
  struct Program {
    Process process;
    OpenSandboxPolicy policy;
    uint64_t started_ns;
    bool has_name;
  };

  void Report(Program program);

  SessionContext* const context_;
  const std::string proc_;
  std::optional<Program> running_;
  std::optional<Program> candidate_;  // has the sidecar's variables, but not its name
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_SESSION_SIDECAR_MONITOR_H_
