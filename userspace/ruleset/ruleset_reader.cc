// SPDX-License-Identifier: Apache-2.0
#include "userspace/ruleset/ruleset_reader.h"

#include <linux/capability.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "userspace/base/clock.h"
#include "userspace/base/netns.h"
#include "userspace/base/status.h"
#include "userspace/privilege/capabilities.h"

namespace sandpiper {
namespace {

// After a reading that took t, the thread pauses for 4 t, so that rules that change all the time
// cost at most a fifth of a CPU.
constexpr uint64_t kRestFactor = 4;
// Rules that change while they are read are read again after doubled pauses, this many times. Then
// they are reported as unknown.
constexpr int kFailuresMax = 6;
constexpr uint64_t kRetry = 20 * kMillisecond;
constexpr uint64_t kPollMax = 60'000;  // ms; requests and notifications wake the thread earlier

void Signal(const UniqueFd& fd) {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = write(fd.get(), &one, sizeof(one));
}

void Clear(const UniqueFd& fd) {
  uint64_t count;
  [[maybe_unused]] const ssize_t n = read(fd.get(), &count, sizeof(count));
}

}  // namespace

RulesetReader::RulesetReader()
    : request_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      news_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      thread_([this] { Run(); }) {}

RulesetReader::~RulesetReader() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  Wake();
  thread_.join();
}

void RulesetReader::Wake() { Signal(request_fd_); }

void RulesetReader::Start() {
  {
    const std::lock_guard lock(mutex_);
    started_ = true;
  }
  Wake();
}

void RulesetReader::Watch(uint32_t netns, UniqueFd fd) {
  {
    const std::lock_guard lock(mutex_);
    to_forget_.erase(netns);
    to_watch_.insert_or_assign(netns, std::move(fd));
  }
  Wake();
}

void RulesetReader::Forget(uint32_t netns) {
  {
    const std::lock_guard lock(mutex_);
    to_watch_.erase(netns);
    to_forget_.insert(netns);
  }
  Wake();
}

std::vector<RulesetNews> RulesetReader::Drain() {
  const std::lock_guard lock(mutex_);
  Clear(news_fd_);
  return std::exchange(news_, {});
}

bool RulesetReader::Sync(std::chrono::milliseconds limit) {
  std::unique_lock lock(mutex_);
  if (!started_)
    return true;
  const uint64_t mine = ++sync_requested_;
  Wake();
  return synced_.wait_for(lock, limit, [&] { return sync_done_ >= mine; });
}

void RulesetReader::Publish(RulesetNews news) {
  const std::lock_guard lock(mutex_);
  news_.push_back(std::move(news));
  Signal(news_fd_);
}

void RulesetReader::Open(uint32_t netns, const UniqueFd& fd) {
  if (spaces_.contains(netns))
    return;
  absl::StatusOr<NftSocket> socket = absl::UnknownError("");
  const absl::Status entered = RunInNamespace(fd, [&] {
    socket = NftSocket::Open();
    return socket.status();
  });
  if (!entered.ok()) {
    Publish({.netns = netns, .transactions = {}, .reading = entered, .complete_ns = BootNow()});
    return;
  }
  spaces_.emplace(netns, Namespace{.socket = *std::move(socket)});
}

bool RulesetReader::ApplyRequests() {
  std::map<uint32_t, UniqueFd> watch;
  {
    const std::lock_guard lock(mutex_);
    Clear(request_fd_);
    if (stop_)
      return false;
    for (const uint32_t netns : std::exchange(to_forget_, {}))
      spaces_.erase(netns);
    if (started_)
      watch = std::exchange(to_watch_, {});
  }
  for (const auto& [netns, fd] : watch)
    Open(netns, fd);
  return true;
}

// A transaction that changes only elements with a timeout changes no rule that is reported, so it
// causes no reading.
void RulesetReader::DrainNotifications(uint32_t netns, Namespace* space) {
  RulesetNews news = {
      .netns = netns, .transactions = {}, .reading = std::nullopt, .complete_ns = BootNow()};
  const absl::Status status = space->socket.DrainTransactions(&news.transactions);
  news.lost = !status.ok();
  space->dirty |= news.lost || std::any_of(news.transactions.begin(), news.transactions.end(),
                                           [](const NftTransaction& t) {
                                             return t.operation != NftOperation::kDynamic;
                                           });
  if (news.lost || !news.transactions.empty())
    Publish(std::move(news));
}

void RulesetReader::ReadIfDue(uint32_t netns, Namespace* space) {
  const uint64_t began = BootNow();
  if (!space->dirty || began < space->next_read_ns)
    return;
  absl::StatusOr<Ruleset> reading = space->socket.Read();
  const uint64_t ended = BootNow();
  if (absl::IsAborted(reading.status()) && ++space->failures < kFailuresMax) {
    space->next_read_ns = ended + (kRetry << space->failures);
    return;
  }
  space->failures = 0;
  space->dirty = false;
  space->next_read_ns = ended + (ended - began) * kRestFactor;
  // The notifications of all commits that the reading contains have arrived by now.
  DrainNotifications(netns, space);
  Publish(
      {.netns = netns, .transactions = {}, .reading = std::move(reading), .complete_ns = began});
}

void RulesetReader::Run() {
  // setns(2) needs CAP_SYS_ADMIN, and nfnetlink_rcv() checks CAP_NET_ADMIN. Without them Open
  // reports the error.
  KeepCapabilities({CAP_SYS_ADMIN, CAP_NET_ADMIN}).IgnoreError();
  for (;;) {
    uint64_t sync;
    {
      const std::lock_guard lock(mutex_);
      sync = sync_requested_;
    }
    if (!ApplyRequests())
      return;
    uint64_t due = UINT64_MAX;
    for (auto& [netns, space] : spaces_) {
      DrainNotifications(netns, &space);
      ReadIfDue(netns, &space);
      if (space.dirty)
        due = std::min(due, space.next_read_ns);
    }
    if (due == UINT64_MAX) {
      const std::lock_guard lock(mutex_);
      sync_done_ = sync;
      synced_.notify_all();
    }
    std::vector<pollfd> polled = {{.fd = request_fd_.get(), .events = POLLIN, .revents = 0}};
    for (const auto& [netns, space] : spaces_)
      polled.push_back({.fd = space.socket.monitor_fd(), .events = POLLIN, .revents = 0});
    const uint64_t now = BootNow();
    uint64_t wait_ms = kPollMax;
    if (due != UINT64_MAX)
      wait_ms = due <= now ? 0 : std::min(kPollMax, (due - now) / kMillisecond + 1);
    poll(polled.data(), polled.size(), static_cast<int>(wait_ms));
  }
}

}  // namespace sandpiper
