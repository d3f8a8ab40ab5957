// SPDX-License-Identifier: Apache-2.0
#include "userspace/canary/canary.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "userspace/base/clock.h"
#include "userspace/base/status.h"

namespace sandpiper {
namespace {

// How often a running test process is checked for its end.
constexpr uint64_t kCheckInterval = 50 * kMillisecond;
// The test process takes milliseconds, and ends itself after ten seconds. The rest is for a busy
// host.
constexpr uint64_t kEndWithin = 20 * kSecond;
// How long its last events are awaited: sockets are closed a moment after their process ended, and
// events are read in bursts.
constexpr uint64_t kDrainTime = 500 * kMillisecond;

// /proc/self/cgroup has the line "0::/path" (cgroups(7)).
std::string OwnCgroup() {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("0::"))
      return line.substr(3) == "/" ? "" : line.substr(3);
  }
  return "";
}

constexpr char kCgroupPrefix[] = "sandpiper-canary-";

// Removes the cgroups of collectors that were killed together with their keepers.
void RemoveStaleCgroups(const std::string& parent) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(parent, error)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with(kCgroupPrefix))
      continue;
    const pid_t pid = atoi(name.c_str() + sizeof(kCgroupPrefix) - 1);
    if (pid > 0 && kill(pid, 0) != 0 && errno == ESRCH)
      rmdir(entry.path().c_str());
  }
}

std::string Describe(const BlindProbe& probe) {
  return absl::StrCat("probe \"", probe.probe, "\" saw no ",
                      absl::StrJoin(probe.missing, " and no "));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Canary>> Canary::Create(const std::string& mount,
                                                       const Options& options) {
  const std::string parent = mount + OwnCgroup();
  RemoveStaleCgroups(parent);
  ASSIGN_OR_RETURN(
      std::shared_ptr<CanaryKeeper> keeper,
      CanaryKeeper::Start(absl::StrCat(parent, "/", kCgroupPrefix, getpid()), options.dns_port));
  return std::make_unique<Canary>(
      TestProcess{.cgroup = keeper->cgroup(),
                  .start = [keeper](ProgramErrors errors) { return keeper->RunProgram(errors); },
                  .poll_status = [keeper] { return keeper->PollStatus(); }},
      options);
}

void Canary::WaitForNextRun(uint64_t now_ns) {
  state_ = State::kIdle;
  due_ns_ = now_ns + Nanoseconds(options_.interval);
}

void Canary::Start(uint64_t now_ns, const ReadCounts& counts) {
  counts_before_ = counts();
  seen_ = {};
  // The program's own error message is shown for the first of several failures.
  const absl::Status status =
      process_.start(problem_.empty() ? ProgramErrors::kShow : ProgramErrors::kHide);
  if (!status.ok()) {
    OnFailure(absl::StrCat("cannot start the test process: ", std::string(status.message())));
    WaitForNextRun(now_ns);
    return;
  }
  state_ = State::kRunning;
  started_ns_ = now_ns;
  due_ns_ = now_ns + kCheckInterval;
}

void Canary::CheckProcess(uint64_t now_ns) {
  due_ns_ = now_ns + kCheckInterval;
  const auto status = process_.poll_status();
  if (!status.ok()) {
    OnFailure(std::string(status.status().message()));
    WaitForNextRun(now_ns);
  } else if (*status) {
    has_failed_ = !WIFEXITED(**status) || WEXITSTATUS(**status) != 0;
    state_ = State::kDraining;
    due_ns_ = now_ns + kDrainTime;
  } else if (now_ns > started_ns_ + kEndWithin) {
    OnFailure("the test process does not end");
  }
}

void Canary::Poll(uint64_t now_ns, const ReadCounts& counts) {
  if (now_ns < due_ns_)
    return;
  switch (state_) {
    case State::kIdle:
      Start(now_ns, counts);
      break;
    case State::kRunning:
      CheckProcess(now_ns);
      break;
    case State::kDraining:
      Evaluate(counts());
      WaitForNextRun(now_ns);
      break;
  }
}

void Canary::OnFailure(std::string problem) {
  if (problem_.empty())
    warnings_.push_back(absl::StrCat("self-test not completed: ", problem,
                                     "; a probe that loses events would not be detected"));
  problem_ = std::move(problem);
}

void Canary::Evaluate(const KernelCounts& counts) {
  if (has_failed_) {
    // It may not have done what the probes should report.
    OnFailure("the test process failed");
    return;
  }
  problem_.clear();
  std::vector<BlindProbe> blind = FindBlindProbes(seen_, counts - counts_before_);
  if (blind == blind_)
    return;
  blind_ = std::move(blind);
  if (blind_.empty()) {
    warnings_.push_back("self-test passed again: all probes see the test process");
    return;
  }
  warnings_.push_back(absl::StrCat(
      "self-test failed: ",
      absl::StrJoin(blind_, ", ",
                    [](std::string* out, const BlindProbe& probe) { *out += Describe(probe); }),
      " of the test process; their sandbox events are being lost. Restart sandpiper"));
}

std::vector<std::string> Canary::blind() const {
  std::vector<std::string> out;
  for (const BlindProbe& probe : blind_)
    out.push_back(probe.probe);
  return out;
}

std::vector<std::string> Canary::TakeWarnings() { return std::exchange(warnings_, {}); }

}  // namespace sandpiper
