// SPDX-License-Identifier: Apache-2.0
#ifndef SANDPIPER_USERSPACE_CANARY_CANARY_WATCH_H_
#define SANDPIPER_USERSPACE_CANARY_CANARY_WATCH_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "userspace/attribution/member_table.h"
#include "userspace/base/diagnostics.h"
#include "userspace/canary/canary.h"
#include "userspace/event/event.h"
#include "userspace/probe/kernel_tables.h"
#include "userspace/probe/probe_status.h"

namespace sandpiper {

// Connects the self-test with the pipeline: the cgroup of the test process is a member that belongs
// to no sandbox. Its events are counted here, and become no records.
//
// Owned by Pipeline. All calls are made by the thread of the event loop.
class CanaryWatch {
 public:
  // The pointers outlive this object.
  CanaryWatch(KernelTables* tables, MemberTable* members, CgroupHierarchy cgroups, WarningSink warn)
      : tables_(tables), members_(members), cgroups_(std::move(cgroups)), warn_(std::move(warn)) {}

  // Starts the self-test. `member` and `sandbox`: numbers that nothing else uses. An error is
  // reported as the reason why the self-test is off.
  void Start(absl::StatusOr<std::unique_ptr<Canary>> canary, uint64_t member, uint64_t sandbox);

  // Returns true if the event is the test process's; the caller has to ignore it then.
  bool Intercept(const Event& event);
  void Poll(uint64_t now_ns);
  uint64_t NextDeadline() const;

  // The probes that failed the last completed run.
  std::vector<std::string> blind() const {
    return canary_ ? canary_->blind() : std::vector<std::string>();
  }
  // Appends the state of the self-test, unless it was never started.
  void AppendState(std::vector<ProbeState>* out) const;

 private:
  KernelTables* tables_;
  MemberTable* members_;
  CgroupHierarchy cgroups_;
  WarningSink warn_;
  std::unique_ptr<Canary> canary_;  // null: off
  uint64_t member_ = 0;
  std::string problem_;  // why it is off; empty if it was never started
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CANARY_CANARY_WATCH_H_
