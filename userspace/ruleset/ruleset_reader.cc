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
#include "userspace/ruleset/xtables.h"

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

// Entering a namespace and reading its tables of iptables-legacy takes some 100 us.
constexpr uint64_t kCheckInterval = 5 * kSecond;

Ruleset AddXtables(Ruleset rules, const std::vector<XtablesTable>& xtables) {
  for (const XtablesTable& table : xtables)
    rules.default_deny |= table.drops_output;
  rules.xtables = xtables;
  return rules;
}

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
  const uint64_t mine = ++sync_requested_;
  Wake();
  return synced_.wait_for(lock, limit, [&] { return sync_done_ >= mine; });
}

void RulesetReader::Publish(RulesetNews news) {
  const std::lock_guard lock(mutex_);
  news_.push_back(std::move(news));
  Signal(news_fd_);
}

void RulesetReader::Open(uint32_t netns, Namespace* space) {
  space->is_open_tried = true;
  absl::StatusOr<NftSocket> socket = absl::UnknownError("");
  const absl::Status entered = RunInNamespace(space->fd, [&] {
    socket = NftSocket::Open();
    return socket.status();
  });
  if (entered.ok()) {
    space->socket = *std::move(socket);
    space->fd = UniqueFd();
  } else {
    Publish({.netns = netns, .transactions = {}, .reading = entered, .complete_ns = BootNow()});
  }
}

bool RulesetReader::ApplyRequests() {
  std::map<uint32_t, UniqueFd> watch;
  bool is_started;
  {
    const std::lock_guard lock(mutex_);
    Clear(request_fd_);
    if (stop_)
      return false;
    for (const uint32_t netns : std::exchange(to_forget_, {}))
      spaces_.erase(netns);
    watch = std::exchange(to_watch_, {});
    is_started = started_;
  }
  for (auto& [netns, fd] : watch)
    spaces_.try_emplace(netns, Namespace{.fd = std::move(fd)});
  for (auto& [netns, space] : spaces_) {
    if (is_started && !space.is_open_tried)
      Open(netns, &space);
  }
  return true;
}

void RulesetReader::Check(uint32_t netns, Namespace* space) {
  space->next_check_ns = BootNow() + kCheckInterval;
  if (HasXtables()) {
    absl::StatusOr<std::vector<XtablesTable>> xtables = absl::UnknownError("");
    const UniqueFd of_socket = space->socket ? space->socket->OpenNamespace() : UniqueFd();
    const absl::Status read = RunInNamespace(space->socket ? of_socket : space->fd, [&] {
      xtables = ReadXtables();
      return xtables.status();
    });
    if (read.ok() && *xtables != space->xtables) {
      space->xtables = *std::move(xtables);
      space->dirty = true;
      space->next_read_ns = 0;
      if (!space->socket)
        Publish({.netns = netns,
                 .transactions = {},
                 .reading = AddXtables(Ruleset(), space->xtables),
                 .complete_ns = BootNow()});
    }
  }
  const bool is_owned = std::any_of(space->tables.begin(), space->tables.end(),
                                    [](const TableFlags& table) { return table.owned; });
  if (!space->socket || !is_owned)
    return;
  const absl::StatusOr<std::vector<TableFlags>> tables = space->socket->ReadTableFlags();
  space->dirty |= tables.ok() && *tables != space->tables;
}

// A transaction that changes only elements with a timeout changes no rule that is reported, so it
// causes no reading.
void RulesetReader::DrainNotifications(uint32_t netns, Namespace* space) {
  if (!space->socket)
    return;
  RulesetNews news = {
      .netns = netns, .transactions = {}, .reading = std::nullopt, .complete_ns = BootNow()};
  const absl::Status status = space->socket->DrainTransactions(&news.transactions);
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
  if (!space->socket || !space->dirty || began < space->next_read_ns)
    return;
  absl::StatusOr<Ruleset> reading = space->socket->Read();
  const uint64_t ended = BootNow();
  if (absl::IsAborted(reading.status()) && ++space->failures < kFailuresMax) {
    space->next_read_ns = ended + (kRetry << space->failures);
    return;
  }
  space->failures = 0;
  space->dirty = false;
  space->next_read_ns = ended + (ended - began) * kRestFactor;
  if (reading.ok()) {
    space->tables = reading->tables;
    reading = AddXtables(*std::move(reading), space->xtables);
  }
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
    uint64_t next_check = UINT64_MAX;
    for (auto& [netns, space] : spaces_) {
      if (BootNow() >= space.next_check_ns || sync != sync_seen_)
        Check(netns, &space);
      DrainNotifications(netns, &space);
      ReadIfDue(netns, &space);
      if (space.socket && space.dirty)
        due = std::min(due, space.next_read_ns);
      next_check = std::min(next_check, space.next_check_ns);
    }
    sync_seen_ = sync;
    if (due == UINT64_MAX) {
      const std::lock_guard lock(mutex_);
      sync_done_ = sync;
      synced_.notify_all();
    }
    std::vector<pollfd> polled = {{.fd = request_fd_.get(), .events = POLLIN, .revents = 0}};
    for (const auto& [netns, space] : spaces_) {
      if (space.socket)
        polled.push_back({.fd = space.socket->monitor_fd(), .events = POLLIN, .revents = 0});
    }
    const uint64_t now = BootNow();
    const uint64_t next = std::min(due, next_check);
    uint64_t wait_ms = kPollMax;
    if (next != UINT64_MAX)
      wait_ms = next <= now ? 0 : std::min(kPollMax, (next - now) / kMillisecond + 1);
    poll(polled.data(), polled.size(), static_cast<int>(wait_ms));
  }
}

}  // namespace sandpiper
