// SPDX-License-Identifier: Apache-2.0
// The rules of one network namespace over time: what the kernel side saw of who changed them,
// joined with what netlink told of the change.
#ifndef SANDPIPER_USERSPACE_CORRELATE_RULESET_HISTORY_H_
#define SANDPIPER_USERSPACE_CORRELATE_RULESET_HISTORY_H_

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "userspace/event/event.h"
#include "userspace/ruleset/ruleset_reader.h"

namespace sandpiper {

// Who made a change. Without a process of its own that the kernel side saw, what netlink told of
// it.
struct RulesetActor {
  ProcessKey process;
  std::string comm;
  bool seen_by_bpf = false;  // by the kernel side: the sandbox is known
  uint64_t sandbox = 0;      // serial of the one that the process is in, 0: none that is watched
  bool sidecar = false;
};

// One commit, or one refusal.
struct RulesetTransaction {
  uint64_t time_ns = 0;
  bool committed = true;
  NftOperation operation = NftOperation::kOther;
  uint64_t count = 1;  // more than one: commits of which nothing but their number is known
  std::optional<RulesetActor> actor;
  int error = 0;          // errno of a refusal, 0 where it is not known
  bool is_retry = false;  // a refusal that was only an attempt to replace what is not there yet,
                          // see docs/events.md
  std::vector<TimedElement> timed;
};

// The rules as they are now, where they are not as they were told last.
struct RulesetUpdate {
  uint64_t time_ns = 0;
  bool is_first = false;
  absl::StatusOr<Ruleset> rules;
  RulesetChange change;               // against the ones before; of the first, all is added
  uint64_t transactions = 0;          // that it took
  std::optional<RulesetActor> actor;  // of the last of them
};

struct RulesetOutcome {
  std::vector<RulesetTransaction> transactions;
  std::vector<RulesetUpdate> updates;
};

class RulesetHistory {
 public:
  // `fresh`: every commit of this namespace happens while we watch, so that generation 1 is where
  // it began.
  explicit RulesetHistory(bool fresh) : last_generation_(fresh ? 1 : 0) {}

  void OnBpfEvent(const NftChange& change, uint64_t time_ns);
  void OnNetlink(RulesetNews news);
  // Joins what can be joined at `now_ns`; with `all`, without waiting for what may still come.
  void Settle(uint64_t now_ns, bool all, RulesetOutcome* out);

  // When Settle has something to do that nothing else would bring about; the far future if never.
  uint64_t NextDeadline() const;
  // As last read; null before, and while they cannot be read.
  const Ruleset* current() const { return current_ ? &*current_ : nullptr; }

 private:
  struct Seen {
    uint64_t time_ns;
    NftChange change;
    bool used = false;
  };
  struct Told {
    NftTransaction transaction;
    uint64_t give_up_ns;
  };
  struct Refusal {
    RulesetTransaction transaction;
    uint32_t thread;

    // When nothing that comes later can change it.
    uint64_t SettlesAt() const;
  };

  static RulesetActor ActorOf(const Seen& seen);
  Seen* FindCommit(const NftTransaction& transaction);
  // Who made a change that netlink did not tell of: sure only if one process alone comes into
  // question.
  std::optional<RulesetActor> OnlyOneSeen() const;
  // Those up to a generation.
  void SettleTransactions(uint64_t now_ns, bool all, uint32_t up_to, RulesetOutcome* out);
  // The oldest one; false if there is none, or what led to it is not known yet.
  bool SettleReading(uint64_t now_ns, bool all, RulesetOutcome* out);
  void SettleRefusals(uint64_t now_ns, bool all, RulesetOutcome* out);

  std::deque<Seen> seen_;
  std::deque<Told> told_;
  std::deque<Refusal> refusals_;
  std::deque<std::pair<uint64_t, absl::StatusOr<Ruleset>>> readings_;
  std::optional<Ruleset> current_, last_told_;
  bool unknown_told_ = false;
  uint32_t last_generation_;
  uint64_t transactions_since_update_ = 0;  // transactions
  std::optional<RulesetActor> last_actor_;
  uint64_t last_commit_ns_ = 0;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CORRELATE_RULESET_HISTORY_H_
