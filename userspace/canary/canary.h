// SPDX-License-Identifier: Apache-2.0
#ifndef SANDPIPER_USERSPACE_CANARY_CANARY_H_
#define SANDPIPER_USERSPACE_CANARY_CANARY_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "userspace/aggregate/sandbox_metrics.h"
#include "userspace/canary/canary_keeper.h"
#include "userspace/canary/expected_events.h"

namespace sandpiper {

// Starts the test process. A struct of functions, so that tests need no process.
struct TestProcess {
  std::string cgroup;
  std::function<absl::Status(ProgramErrors errors)> start;
  // Its status (waitpid(2)) once it has ended, nothing before. An error: it cannot be run any more.
  std::function<absl::StatusOr<std::optional<int>>()> poll_status;
};

// The self-test of the probes. At each interval a test process looks up a name and connects, in a
// cgroup and a network namespace of its own. A probe that reports no event of it is blind: it loses
// events of sandboxes too.
//
// Owned and called by CanaryWatch.
class Canary {
 public:
  struct Options {
    std::chrono::milliseconds interval{60'000};
    uint16_t dns_port = 53;
  };
  // Creates the cgroup below the one of this process. `mount`: where cgroup v2 is mounted. An
  // error if that is impossible, for example on a read-only mount. Call it before the probes are
  // attached, which would find the cgroup, and before this process has threads.
  static absl::StatusOr<std::unique_ptr<Canary>> Create(const std::string& mount,
                                                        const Options& options);
  Canary(TestProcess process, const Options& options)
      : process_(std::move(process)), options_(options) {}

  const std::string& cgroup() const { return process_.cgroup; }

  // An event of the test process was read.
  void OnEvent(uint16_t kind) { ++seen_[kind]; }

  // Starts a run when it is time, and ends one that is over. `counts` reads the kernel's counters
  // of the test process.
  using ReadCounts = std::function<KernelCounts()>;
  void Poll(uint64_t now_ns, const ReadCounts& counts);
  uint64_t NextDeadline() const { return due_ns_; }

  // The probes that failed the last completed run.
  std::vector<std::string> blind() const;
  // Why the last run was not completed; empty if it was.
  const std::string& problem() const { return problem_; }
  // Messages for the operator. They are returned once.
  std::vector<std::string> TakeWarnings();

 private:
  enum class State {
    kIdle,
    kRunning,
    kDraining,  // the test process ended, and its last events are still read
  };

  void Start(uint64_t now_ns, const ReadCounts& counts);
  void CheckProcess(uint64_t now_ns);
  void Evaluate(const KernelCounts& counts);
  void WaitForNextRun(uint64_t now_ns);
  void OnFailure(std::string problem);

  TestProcess process_;
  Options options_;
  State state_ = State::kIdle;
  uint64_t due_ns_ = 0;
  uint64_t started_ns_ = 0;
  bool has_failed_ = false;     // the test process did
  EventCounts seen_ = {};       // in this run
  KernelCounts counts_before_;  // when this run began
  std::string problem_;
  std::vector<BlindProbe> blind_;
  std::vector<std::string> warnings_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CANARY_CANARY_H_
