// SPDX-License-Identifier: Apache-2.0
// Watches the canary as a member of no sandbox: nothing of it is told but whether it was seen.
#ifndef SANDPIPER_USERSPACE_CANARY_CANARY_WATCH_H_
#define SANDPIPER_USERSPACE_CANARY_CANARY_WATCH_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "userspace/attribution/member_table.h"
#include "userspace/canary/canary.h"
#include "userspace/event/event.h"
#include "userspace/probe/kernel_tables.h"
#include "userspace/probe/probe_status.h"

namespace sandpiper {

class CanaryWatch {
 public:
  using Tell = std::function<void(const std::string&)>;
  // The pointers outlive this.
  CanaryWatch(KernelTables* tables, Members* members, Tell tell)
      : tables_(tables), members_(members), tell_(std::move(tell)) {}

  // From now on. `member` and `sandbox`: numbers that nothing else has. An error is why there is
  // none.
  void Start(absl::StatusOr<std::unique_ptr<Canary>> canary, uint64_t member, uint64_t sandbox);

  // True if the event is the canary's, and taken.
  bool Take(const Event& event);
  void Work(uint64_t now_ns);
  uint64_t NextDeadline() const;

  std::vector<std::string> blind() const {
    return canary_ ? canary_->blind() : std::vector<std::string>();
  }
  // Appends its state; nothing where no canary is wanted.
  void AppendState(std::vector<ProbeState>* out) const;

 private:
  KernelTables* tables_;
  Members* members_;
  Tell tell_;
  std::unique_ptr<Canary> canary_;
  uint64_t member_ = 0;
  std::string problem_;  // why there is none
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CANARY_CANARY_WATCH_H_
