// SPDX-License-Identifier: Apache-2.0
#ifndef SANDPIPER_USERSPACE_SESSION_EVENT_ACCOUNTING_H_
#define SANDPIPER_USERSPACE_SESSION_EVENT_ACCOUNTING_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "userspace/aggregate/sandbox_metrics.h"
#include "userspace/sandbox/resources.h"

namespace sandpiper {

// Compares the events that the BPF programs counted for one sandbox with those that arrived.
class EventAccounting {
 public:
  // Events by reason and kind, as "ring_full.exec".
  using Losses = std::map<std::string, uint64_t>;

  void OnDelivered(uint16_t kind) { ++delivery_.delivered[kind]; }
  // Events that were read from the ring and then dropped.
  void OnLost(const char* stage, const char* reason, uint16_t kind, uint64_t count) {
    delivery_.lost[{stage, reason, kind}] += count;
  }
  // The sum of the BPF counters of all members that still exist.
  void OnCounters(const KernelCounts& counters);
  // The last counters of a member that was removed. They become part of counters() at the next
  // OnCounters.
  void OnMemberEnded(const KernelCounts& counters, const ResourceUse& use);

  // All members, also the removed ones.
  const KernelCounts& counters() const { return counters_; }
  const DeliveryCounts& delivery() const { return delivery_; }
  // Of the removed members only.
  const ResourceUse& ended_use() const { return ended_use_; }

  // All events since the start that were produced and will never be delivered. They include
  // sockets that BPF programs had no memory for (kNoMemory), which produced no event at all.
  Losses LossesSoFar() const;
  uint64_t produced() const;
  uint64_t delivered() const;
  // True if events that end a flow were lost. The flow then still looks open.
  bool has_lost_flow_ends() const;

 private:
  KernelCounts counters_;
  std::unique_ptr<KernelCounts> ended_members_;  // null: no member was removed
  ResourceUse ended_use_;
  DeliveryCounts delivery_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_SESSION_EVENT_ACCOUNTING_H_
