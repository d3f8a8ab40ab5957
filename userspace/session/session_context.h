// SPDX-License-Identifier: Apache-2.0
#ifndef SANDPIPER_USERSPACE_SESSION_SESSION_CONTEXT_H_
#define SANDPIPER_USERSPACE_SESSION_SESSION_CONTEXT_H_

#include <cstdint>
#include <functional>

#include "absl/container/flat_hash_map.h"
#include "userspace/aggregate/denials.h"
#include "userspace/aggregate/sandbox_metrics.h"
#include "userspace/correlate/name_cache.h"
#include "userspace/correlate/process_table.h"
#include "userspace/sandbox/selection_rules.h"
#include "userspace/session/record_emitter.h"

namespace sandpiper {

// The role of each part of a sandbox, by the origin of its events.
class PartRoles {
 public:
  void Set(Origin origin, Role role) { roles_[origin] = role; }
  // kNone if the sandbox has no roles, or if the part was not found by its cgroup.
  Role Of(Origin origin) const {
    const auto found = roles_.find(origin);
    return found == roles_.end() ? Role::kNone : found->second;
  }
  // The sandbox cannot choose this role: it is that of another container.
  bool IsSidecar(Origin origin) const { return Of(origin) == Role::kSidecar; }

 private:
  absl::flat_hash_map<Origin, Role> roles_;
};

// The state that all parts of one session use. The session owns it, and it outlives the parts.
struct SessionContext {
  RecordEmitter emitter;
  SandboxMetrics metrics;
  ProcessTable processes;
  NameCache names;  // DnsMonitor adds names, the other parts read them
  PartRoles roles = {};
};

// Takes a denial that happened `count` times.
using DenialSink = std::function<void(const Denial& denial, uint64_t count)>;

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_SESSION_SESSION_CONTEXT_H_
