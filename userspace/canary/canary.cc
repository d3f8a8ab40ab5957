// SPDX-License-Identifier: Apache-2.0
#include "userspace/canary/canary.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
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

constexpr uint64_t kLook = 50 * kMillisecond;
// Its process takes milliseconds, and ends itself after ten seconds; the rest is for a host that is
// busy.
constexpr uint64_t kEndWithin = 20 * kSecond;
// Its sockets close a moment after its process, and events are worked off in bursts.
constexpr uint64_t kListen = 500 * kMillisecond;

// What it does, and who must have seen it.
struct Note {
  uint16_t kind;
  const char* probe;
  const char* what;
};
constexpr Note kSong[] = {{EVENT_EXEC, "process", "exec"},
                          {EVENT_EXIT, "process", "exit"},
                          {EVENT_CONNECT, "connect", "connect"},
                          {EVENT_CONNECT_RESULT, "connect.outcome", "established connection"},
                          {EVENT_DNS_QUERY, "packet", "lookup"},
                          {EVENT_DNS_ANSWER, "packet", "answer"}};

// "0::/path" (cgroups(7)).
std::string OwnCgroup() {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("0::"))
      return line.substr(3) == "/" ? "" : line.substr(3);
  }
  return "";
}

constexpr char kName[] = "sandpiper-canary-";

// Those of collectors that were killed together with their keepers.
void RemoveLeft(const std::string& parent) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(parent, error)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with(kName))
      continue;
    const pid_t pid = atoi(name.c_str() + sizeof(kName) - 1);
    if (pid > 0 && kill(pid, 0) != 0 && errno == ESRCH)
      rmdir(entry.path().c_str());
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Canary>> Canary::Create(const std::string& mount,
                                                       const Options& options) {
  const std::string parent = mount + OwnCgroup();
  RemoveLeft(parent);
  ASSIGN_OR_RETURN(
      std::unique_ptr<CanaryKeeper> keeper,
      CanaryKeeper::Start(absl::StrCat(parent, "/", kName, getpid()), options.dns_port));
  return std::unique_ptr<Canary>(new Canary(std::move(keeper), options));
}

void Canary::Begin(uint64_t now_ns, const Counts& counts) {
  before_ = counts();
  seen_before_ = seen_;
  // What is wrong with it, it tells once.
  const absl::Status status = keeper_->Begin(/*quiet=*/!problem_.empty());
  if (!status.ok())
    OnFailure(absl::StrCat("it cannot be started: ", std::string(status.message())));
  state_ = status.ok() ? State::kSinging : State::kResting;
  began_ns_ = now_ns;
  due_ns_ = now_ns + (status.ok() ? kLook : Nanoseconds(options_.interval));
}

void Canary::LookForEnd(uint64_t now_ns) {
  due_ns_ = now_ns + kLook;
  const auto ended = keeper_->End();
  if (!ended.ok()) {
    OnFailure(std::string(ended.status().message()));
    state_ = State::kResting;
    due_ns_ = now_ns + Nanoseconds(options_.interval);
  } else if (*ended) {
    failed_ = !WIFEXITED(**ended) || WEXITSTATUS(**ended) != 0;
    state_ = State::kListening;
    due_ns_ = now_ns + kListen;
  } else if (now_ns > began_ns_ + kEndWithin) {
    OnFailure("its program does not end");
  }
}

void Canary::Work(uint64_t now_ns, const Counts& counts) {
  if (now_ns < due_ns_)
    return;
  switch (state_) {
    case State::kResting:
      Begin(now_ns, counts);
      break;
    case State::kSinging:
      LookForEnd(now_ns);
      break;
    case State::kListening:
      Judge(counts());
      state_ = State::kResting;
      due_ns_ = now_ns + Nanoseconds(options_.interval);
      break;
  }
}

void Canary::OnFailure(std::string problem) {
  if (problem_.empty())
    news_.push_back(absl::StrCat("the canary: ", problem, "; whether the probes see is not known"));
  problem_ = std::move(problem);
}

void Canary::Judge(const KernelCounts& counts) {
  if (failed_) {
    // It did not do what should have been seen.
    OnFailure("its program failed");
    return;
  }
  problem_.clear();
  const KernelCounts news = counts - before_;
  std::vector<std::string> blind, missing;
  for (const Note& note : kSong) {
    // What was counted as dropped was seen.
    if (seen_[note.kind] != seen_before_[note.kind] || news.lost(note.kind) > 0)
      continue;
    missing.push_back(note.what);
    if (std::find(blind.begin(), blind.end(), note.probe) == blind.end())
      blind.push_back(note.probe);
  }
  if (blind == blind_)
    return;
  blind_ = std::move(blind);
  if (blind_.empty())
    news_.push_back("all probes see the canary again");
  else
    news_.push_back(
        absl::StrCat("error: blind: ", absl::StrJoin(blind_, ", "),
                     "; of the canary these were not seen: ", absl::StrJoin(missing, ", "),
                     ". What sandboxes do goes unseen likewise: restart sandpiper"));
}

uint64_t Canary::NextDeadline() const { return due_ns_; }

std::vector<std::string> Canary::TakeNews() { return std::exchange(news_, {}); }

}  // namespace sandpiper
