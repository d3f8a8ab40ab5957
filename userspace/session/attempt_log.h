// SPDX-License-Identifier: Apache-2.0
#ifndef SANDPIPER_USERSPACE_SESSION_ATTEMPT_LOG_H_
#define SANDPIPER_USERSPACE_SESSION_ATTEMPT_LOG_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "userspace/aggregate/ledger.h"
#include "userspace/correlate/process_table.h"

namespace sandpiper {

// One connection attempt, for a report that shows each of them.
struct Attempt {
  uint64_t started_ns = 0;
  std::string program;  // the name of the executable
  DestinationKey destination;
  bool is_loopback = false;
  // kPending: no outcome was seen.
  ConnectOutcome outcome = ConnectOutcome::kPending;

  // The classes by which a report counts attempts. The ledger counts them in the same way: a
  // datagram without an answer is neither established nor failed.
  enum class Kind { kEstablished, kDenied, kFailed, kUndecided };
  Kind kind() const;
};
const char* Name(Attempt::Kind kind);

// Collects the attempts of one sandbox. Used by the thread of the event loop.
class AttemptLog : public AttemptObserver {
 public:
  // Keeps the first `attempts_max` attempts. `processes` outlives this object.
  AttemptLog(const ProcessTable* processes, size_t attempts_max)
      : processes_(processes), attempts_max_(attempts_max) {}

  void OnAttempt(const Flow& flow) override;
  void OnDecided(const Flow& flow) override;

  const std::vector<Attempt>& All() const { return attempts_; }
  uint64_t omitted() const { return omitted_; }

 private:
  // A socket may make several attempts, and one UDP socket has several peers.
  using Key = std::tuple<uint64_t, uint64_t, Endpoint>;  // cookie, start, peer

  const ProcessTable* const processes_;
  const size_t attempts_max_;
  std::vector<Attempt> attempts_;
  std::map<Key, size_t> undecided_;  // indices in attempts_
  uint64_t omitted_ = 0;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_SESSION_ATTEMPT_LOG_H_
