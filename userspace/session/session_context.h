// SPDX-License-Identifier: Apache-2.0
#ifndef SANDPIPER_USERSPACE_SESSION_SESSION_CONTEXT_H_
#define SANDPIPER_USERSPACE_SESSION_SESSION_CONTEXT_H_

#include <cstdint>
#include <functional>

#include "userspace/aggregate/denials.h"
#include "userspace/aggregate/sandbox_metrics.h"
#include "userspace/correlate/name_cache.h"
#include "userspace/correlate/process_table.h"
#include "userspace/session/record_emitter.h"

namespace sandpiper {

// The state that all parts of one session use. The session owns it, and it outlives the parts.
struct SessionContext {
  RecordEmitter emitter;
  SandboxMetrics metrics;
  ProcessTable processes;
  NameCache names;  // DnsMonitor adds names, the other parts read them
};

// Takes a denial that happened `count` times.
using DenialSink = std::function<void(const Denial& denial, uint64_t count)>;

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_SESSION_SESSION_CONTEXT_H_
