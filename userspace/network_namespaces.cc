#include "userspace/network_namespaces.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "userspace/base/clock.h"

namespace sandpiper {
namespace {

// How often the end of processes makes us look who is left in a namespace.
constexpr uint64_t kCheckInterval = kSecond;

uint32_t Inode(const UniqueFd& fd) {
  struct stat info = {};
  return fd.ok() && fstat(fd.get(), &info) == 0 ? static_cast<uint32_t>(info.st_ino) : 0;
}

}  // namespace

uint32_t OwnNetworkNamespace() { return Inode(UniqueFd(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC))); }

UniqueFd NetworkNamespaces::OpenNamespace(pid_t pid, uint32_t netns) {
  UniqueFd fd(open(absl::StrCat("/proc/", pid, "/ns/net").c_str(), O_RDONLY | O_CLOEXEC));
  return Inode(fd) == netns ? std::move(fd) : UniqueFd();
}

void NetworkNamespaces::Begin(bool fresh) {
  fresh_ |= fresh;
  if (fresh) {
    for (auto& [netns, space] : spaces_)
      space.history = RulesetHistory(true);
  }
  reader_.Begin();
}

void NetworkNamespaces::Watch(uint32_t netns, Space* space, uint64_t sandbox, pid_t pid) {
  UniqueFd fd = OpenNamespace(pid, netns);
  // The one that was named may be gone; any other does as well.
  if (!fd.ok()) {
    for (const pid_t other : processes_(sandbox)) {
      fd = OpenNamespace(other, netns);
      if (fd.ok())
        break;
    }
  }
  // Nobody is in it any more: there is nothing that these rules apply to.
  if (!fd.ok())
    return;
  space->watched = true;
  reader_.Watch(netns, std::move(fd));
}

void NetworkNamespaces::Enter(uint64_t sandbox, uint32_t netns, pid_t pid) {
  if (netns == 0)
    return;
  Space& space = spaces_.try_emplace(netns, Space{.history = RulesetHistory(fresh_), .sandboxes = {}}).first->second;
  space.sandboxes.insert(sandbox);
  if (!space.watched)
    Watch(netns, &space, sandbox, pid);
}

void NetworkNamespaces::OnChange(const NftChange& change, uint64_t sandbox, uint64_t time_ns) {
  Enter(sandbox, change.netns, static_cast<pid_t>(change.process.pid));
  spaces_.at(change.netns).history.OnKernel(change, sandbox, time_ns);
}

void NetworkNamespaces::LetGo() {
  for (auto& [netns, space] : spaces_) {
    const auto left_one = [this](uint64_t sandbox) { return to_check_.contains(sandbox); };
    if (!space.watched || std::none_of(space.sandboxes.begin(), space.sandboxes.end(), left_one))
      continue;
    bool somebody = false;
    for (const uint64_t sandbox : space.sandboxes) {
      for (const pid_t pid : processes_(sandbox))
        somebody = somebody || OpenNamespace(pid, netns).ok();
    }
    if (!somebody) {
      space.watched = false;
      reader_.Forget(netns);
    }
  }
  to_check_.clear();
}

void NetworkNamespaces::Work(uint64_t now_ns, bool all) {
  for (RulesetNews& news : reader_.Take()) {
    if (const auto space = spaces_.find(news.netns); space != spaces_.end())
      space->second.history.OnNews(std::move(news));
  }
  for (auto& [netns, space] : spaces_) {
    RulesetOutcome outcome;
    space.history.Settle(now_ns, all, &outcome);
    for (const uint64_t sandbox : space.sandboxes)
      sink_(sandbox, outcome, space.history.current());
  }
  if (!to_check_.empty() && now_ns >= next_check_ns_) {
    LetGo();
    next_check_ns_ = now_ns + kCheckInterval;
  }
}

uint64_t NetworkNamespaces::NextDeadline() const {
  uint64_t next = to_check_.empty() ? std::numeric_limits<uint64_t>::max() : next_check_ns_;
  for (const auto& [netns, space] : spaces_)
    next = std::min(next, space.history.NextDeadline());
  return next;
}

}  // namespace sandpiper
