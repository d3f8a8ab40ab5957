// SPDX-License-Identifier: Apache-2.0
// The nftables rules of one network namespace over time. Joins two sources: the BPF programs see
// which process changed the rules, and netlink reports the change itself.
#ifndef SANDPIPER_USERSPACE_CORRELATE_RULESET_HISTORY_H_
#define SANDPIPER_USERSPACE_CORRELATE_RULESET_HISTORY_H_

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "userspace/event/event.h"
#include "userspace/ruleset/ruleset_reader.h"

namespace sandpiper {

// The process that changed the rules. If the BPF programs did not see it, netlink's name and thread
// id of it.
struct RulesetActor {
  ProcessKey process;
  std::string comm;
  bool seen_by_bpf = false;  // if so, `sandbox` and `sidecar` are known
  uint64_t sandbox = 0;      // serial of the sandbox of the process, 0 if it is in none
  std::string sandbox_id = {};
  bool sidecar = false;
};

// One commit, or one rejected transaction.
struct RulesetTransaction {
  uint64_t time_ns = 0;
  bool committed = true;
  NftOperation operation = NftOperation::kOther;
  uint64_t count = 1;  // above 1: only the number of these commits is known
  std::optional<RulesetActor> actor;
  int error = 0;  // errno of the rejection, 0 if it is not known
  // The program tried to delete a table that did not exist, was rejected, and then sent the batch
  // again without the deletion. See docs/events.md.
  bool is_retry = false;
  std::vector<TimedElement> timed;
};

// A rule set that differs from the last reported one.
struct RulesetUpdate {
  uint64_t time_ns = 0;
  bool is_first = false;
  absl::StatusOr<Ruleset> rules;      // an error if the rules cannot be read
  RulesetChange change;               // against the last reported rule set; the first adds all
  uint64_t transactions = 0;          // commits since the last update
  std::optional<RulesetActor> actor;  // of the last of these commits
};

struct RulesetOutcome {
  std::vector<RulesetTransaction> transactions;
  std::vector<RulesetUpdate> updates;
};

enum class RulesetCoverage {
  kFromFirstCommit,  // nf_tables was loaded while sandpiper watched: nothing precedes generation 1
  kFromNow,          // earlier commits are unknown
};

// NetworkNamespaces owns one for each namespace, and calls it on the event loop only.
class RulesetHistory {
 public:
  explicit RulesetHistory(RulesetCoverage coverage)
      : last_generation_(coverage == RulesetCoverage::kFromFirstCommit ? 1 : 0) {}

  // A change that the BPF programs saw.
  void OnBpfEvent(const NftChange& change, uint64_t time_ns);
  // Transactions and rule sets that netlink reported.
  void OnNetlink(RulesetNews news);
  // Joins all that is complete at `now_ns`. The rest waits for the other source, up to a deadline.
  RulesetOutcome Poll(uint64_t now_ns);
  // Joins everything that is queued. Does not wait for the other source.
  RulesetOutcome Drain(uint64_t now_ns);

  // The next deadline of Poll; the maximum of uint64_t if nothing waits.
  uint64_t NextDeadline() const;
  // The rule set as last read. Null before the first reading, and while reading fails.
  const Ruleset* current() const { return current_ ? &*current_ : nullptr; }

 private:
  enum class Wait { kUntilDeadline, kNo };

  // Seen by the BPF programs.
  struct BpfCommit {
    uint64_t time_ns;
    NftChange change;
    bool is_joined = false;
  };
  // Reported by netlink.
  struct NetlinkCommit {
    NftTransaction transaction;
    uint64_t deadline_ns;
  };
  struct Rejection {
    RulesetTransaction transaction;
    uint32_t thread;

    // From this time on no later event can change it.
    uint64_t DeadlineNs() const;
  };
  struct Reading {
    uint64_t time_ns;
    absl::StatusOr<Ruleset> rules;
  };

  static RulesetActor ActorOf(const BpfCommit& commit);
  BpfCommit* FindBpfCommit(const NftTransaction& transaction);
  // The process that made a change which netlink did not report. Known only if a single process
  // can have made it.
  std::optional<RulesetActor> OnlyActor() const;
  RulesetOutcome Join(uint64_t now_ns, Wait wait);
  // Joins the commits up to `last_generation`.
  void JoinCommits(uint64_t now_ns, Wait wait, uint32_t last_generation, RulesetOutcome* out);
  void AddCommit(NetlinkCommit commit, BpfCommit* seen, RulesetOutcome* out);
  // Marks the rejections that `commit` retries.
  void MarkRetries(const RulesetTransaction& commit);
  // Joins the oldest reading. False if there is none, or if commits before it are still missing.
  bool JoinReading(uint64_t now_ns, Wait wait, RulesetOutcome* out);
  // The process that owned a table of which the kernel removed or changed the flags without a
  // commit: it does so when the owner's socket is closed.
  void FindOwner(const Ruleset& rules, RulesetUpdate* update);
  // Adds the commits before `reading` that netlink did not report.
  void AddUnreportedCommits(const Reading& reading, RulesetUpdate* update, RulesetOutcome* out);
  void EndRejections(uint64_t now_ns, Wait wait, RulesetOutcome* out);

  std::deque<BpfCommit> bpf_commits_;
  std::deque<NetlinkCommit> netlink_commits_;
  std::deque<Rejection> rejections_;
  std::deque<Reading> readings_;
  std::optional<Ruleset> current_;
  std::optional<Ruleset> last_reported_;
  std::map<std::string, RulesetActor> table_owners_;  // by TableFlags::table
  bool is_failure_reported_ = false;                  // that the rules cannot be read
  uint32_t last_generation_;                          // 0: not known yet
  // Since the last update.
  uint64_t transactions_since_update_ = 0;
  std::optional<RulesetActor> last_actor_;
  uint64_t last_commit_ns_ = 0;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CORRELATE_RULESET_HISTORY_H_
