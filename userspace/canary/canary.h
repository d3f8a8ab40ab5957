// SPDX-License-Identifier: Apache-2.0
// Proof that the probes see: now and then a process of our own, in a cgroup of its own, runs a
// program that looks a name up and connects, in a network namespace of its own. What the kernel
// side does not tell of it, it does not tell of sandboxes either.
#ifndef SANDPIPER_USERSPACE_CANARY_CANARY_H_
#define SANDPIPER_USERSPACE_CANARY_CANARY_H_

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bpf/events.h"
#include "userspace/aggregate/sandbox_metrics.h"
#include "userspace/canary/canary_keeper.h"

namespace sandpiper {

class Canary {
 public:
  struct Options {
    std::chrono::milliseconds interval{60'000};
    uint16_t dns_port = 53;
  };
  // Makes its cgroup below our own; `mount`: of cgroup v2. An error where it cannot, as on a
  // read-only mount. Before there is a probe that would find the cgroup, and before this process
  // has threads.
  static absl::StatusOr<std::unique_ptr<Canary>> Create(const std::string& mount,
                                                        const Options& options);
  Canary(const Canary&) = delete;
  Canary& operator=(const Canary&) = delete;

  const std::string& cgroup() const { return keeper_->cgroup(); }

  // An event of it came through.
  void OnEvent(uint16_t kind) { ++seen_[kind]; }

  // Starts a round when it is time, and judges one that is over. `counts`: of its member, now.
  using Counts = std::function<KernelCounts()>;
  void Work(uint64_t now_ns, const Counts& counts);
  uint64_t NextDeadline() const;

  // The probes that did not see it in the last round that it could complete.
  const std::vector<std::string>& blind() const { return blind_; }
  // Why the last round told nothing; empty if it did.
  const std::string& problem() const { return problem_; }
  // What the operator should know; taken out.
  std::vector<std::string> TakeNews();

 private:
  using ByKind = std::array<uint64_t, KernelCounts::kKinds>;
  enum class State { kResting, kSinging, kListening };

  Canary(std::unique_ptr<CanaryKeeper> keeper, const Options& options)
      : keeper_(std::move(keeper)), options_(options) {}

  void Begin(uint64_t now_ns, const Counts& counts);
  void LookForEnd(uint64_t now_ns);
  void Judge(const KernelCounts& counts);
  void OnFailure(std::string problem);

  std::unique_ptr<CanaryKeeper> keeper_;
  Options options_;
  State state_ = State::kResting;
  uint64_t due_ns_ = 0, began_ns_ = 0;
  bool failed_ = false;
  ByKind seen_{}, seen_before_{};
  KernelCounts before_;
  std::string problem_;
  std::vector<std::string> blind_, news_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CANARY_CANARY_H_
