// SPDX-License-Identifier: Apache-2.0
#include "userspace/runtime/runtimes.h"

#include <linux/capability.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "userspace/privilege/capabilities.h"
#include "userspace/runtime/runtime_client.h"

namespace sandpiper {
namespace {

using Clock = std::chrono::steady_clock;

// A container of which nothing is known yet is asked for again so soon, and then ever later: its
// cgroup is there before the runtime tells of it, and of another runtime's it never will.
constexpr std::chrono::milliseconds kAskAgain{100}, kAskAgainMax{800};
// More than so many are answered by one list.
constexpr size_t kAskEach = 2;
// What changes without being told, as annotations.
constexpr std::chrono::seconds kListEvery{10};
constexpr std::chrono::seconds kFollowAgain{1};
// Of things that wait to be taken, or to be asked.
constexpr size_t kWaitingMax = 16'384;
constexpr size_t kHeardMax = 1'024;

// Nothing, but for a socket that is another user's, or in a folder of one, as those of rootless
// Podman.
Capabilities NeedsFor(const std::string& path) {
  for (std::filesystem::path part = path; part.has_relative_path(); part = part.parent_path()) {
    struct stat info = {};
    if (stat(part.c_str(), &info) == 0 && info.st_uid != geteuid())
      return {CAP_DAC_OVERRIDE};
  }
  return {};
}

}  // namespace

struct Runtimes::Shared {
  std::mutex mutex;
  UniqueFd news_fd{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::vector<Container> news;
  std::vector<std::string> problems;

  void Signal() {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = write(news_fd.get(), &one, sizeof(one));
  }
};

class Runtimes::Source {
 public:
  Source(const RuntimeSocket& socket, std::chrono::milliseconds patience, Shared* shared)
      : path_(socket.path),
        patience_(patience),
        shared_(shared),
        client_(socket.api == RuntimeSocket::Api::kCri ? MakeCriClient(socket.path)
                                                       : MakeEngineClient(socket.path)),
        asker_([this] { KeepCapabilities(NeedsFor(path_)).IgnoreError(), Ask(); }),
        follower_([this] { KeepCapabilities(NeedsFor(path_)).IgnoreError(), Follow(); }) {}

  ~Source() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    asker_.join();
    follower_.join();
  }

  void Want(const std::string& id) {
    {
      const std::lock_guard lock(mutex_);
      if (asks_.size() < kWaitingMax)
        asks_.emplace(Clock::now(), Wanted{.id = id, .until = Clock::now() + patience_});
    }
    wake_.notify_all();
  }

 private:
  struct Wanted {
    std::string id;
    Clock::time_point until;
    std::chrono::milliseconds again = kAskAgain;
  };

  void Tell(Container container) {
    container.source = path_;
    // Told all the same later: the next list holds it again.
    if (const std::lock_guard lock(shared_->mutex); shared_->news.size() >= kWaitingMax)
      return;
    {
      const std::lock_guard lock(mutex_);
      auto [it, added] = told_.try_emplace(container.id);
      if (!added && (it->second == container || (it->second.complete && !container.complete)))
        return;
      it->second = container;
      if (added) {
        told_order_.push_back(container.id);
        if (told_order_.size() > kWaitingMax) {
          told_.erase(told_order_.front());
          told_order_.pop_front();
        }
      }
    }
    const std::lock_guard lock(shared_->mutex);
    shared_->news.push_back(std::move(container));
    shared_->Signal();
  }

  // Once for each time that it comes to that.
  void Problem(const absl::Status& status, bool* told) {
    const bool tell = !status.ok() && !*told;
    *told = !status.ok();
    if (!tell)
      return;
    const std::lock_guard lock(shared_->mutex);
    if (shared_->problems.size() < kHeardMax)
      shared_->problems.push_back(
          absl::StrCat("the runtime at ", path_, ": ", std::string(status.message())));
    shared_->Signal();
  }

  // What events told of a container that is gone already.
  std::optional<Container> Heard(const std::string& id) {
    const std::lock_guard lock(mutex_);
    const auto it = told_.find(id);
    return it == told_.end() || it->second.complete ? std::nullopt : std::optional(it->second);
  }

  bool IsTold(const std::string& id) {
    const std::lock_guard lock(mutex_);
    const auto it = told_.find(id);
    return it != told_.end() && it->second.complete;
  }

  // Nothing came of asking. False: ask again later.
  static bool GiveUp(const Wanted& wanted) { return Clock::now() + wanted.again >= wanted.until; }

  // The runtime does not know it, or no more. False: ask again later.
  bool OnUnknown(const Wanted& wanted) {
    std::optional<Container> heard = Heard(wanted.id);
    if (!heard)
      return GiveUp(wanted);
    heard->complete = true;
    Tell(*std::move(heard));
    return true;
  }

  // False: ask again later.
  bool Answer(const Wanted& wanted) {
    absl::StatusOr<std::optional<Container>> found = client_->Find(wanted.id);
    Problem(found.status(), &ask_problem_);
    if (!found.ok())
      return GiveUp(wanted);
    if (!*found)
      return OnUnknown(wanted);
    Tell(**std::move(found));
    return true;
  }

  // One list for all of them: so that a runtime that is slow is not asked about each in turn, the
  // last one when it is long gone. Takes those out that need no more.
  void AnswerByList(std::vector<Wanted>* wanted) {
    const bool listed = List(/*ask=*/false);
    std::erase_if(*wanted, [&](const Wanted& one) {
      if (IsTold(one.id))
        return true;
      // A list may say less than there is to know.
      return listed ? (Heard(one.id) ? Answer(one) : OnUnknown(one)) : GiveUp(one);
    });
  }

  // `ask`: about those of which the list does not tell all. False where there is no list.
  bool List(bool ask) {
    absl::StatusOr<std::vector<Container>> all = client_->List();
    Problem(all.status(), &ask_problem_);
    if (!all.ok())
      return false;
    for (Container& container : *all) {
      const bool complete = container.complete;
      const std::string id = container.id;
      Tell(std::move(container));
      if (ask && !complete && Heard(id))
        Want(id);
    }
    return true;
  }

  // Waits until somebody is to be asked about, or a list is due. False: it is time to end.
  bool TakeDue(Clock::time_point next_list, std::vector<Wanted>* out) {
    std::unique_lock lock(mutex_);
    const auto due = [&] {
      return asks_.empty() ? next_list : std::min(next_list, asks_.begin()->first);
    };
    while (!stop_ && Clock::now() < due())
      wake_.wait_until(lock, due());
    const auto end = asks_.upper_bound(Clock::now());
    for (auto it = asks_.begin(); it != end; ++it)
      out->push_back(std::move(it->second));
    asks_.erase(asks_.begin(), end);
    return !stop_;
  }

  void Ask() {
    Clock::time_point next_list = Clock::now();
    for (std::vector<Wanted> wanted; TakeDue(next_list, &wanted); wanted.clear()) {
      if (wanted.size() > kAskEach)
        AnswerByList(&wanted);
      else
        std::erase_if(wanted, [this](const Wanted& one) { return Answer(one); });
      {
        const std::lock_guard lock(mutex_);
        for (Wanted& one : wanted) {
          const auto due = Clock::now() + one.again;
          one.again = std::min(2 * one.again, kAskAgainMax);
          asks_.emplace(due, std::move(one));
        }
      }
      if (Clock::now() >= next_list) {
        List(/*ask=*/true);
        next_list = Clock::now() + kListEvery;
      }
    }
  }

  void Follow() {
    while (!stop_) {
      const absl::Status status =
          client_->Follow(stop_, [this](Container container) { Tell(std::move(container)); });
      if (absl::IsUnimplemented(status))
        return;
      // That nobody answers, the asker tells.
      if (!absl::IsUnavailable(status))
        Problem(status, &follow_problem_);
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, kFollowAgain, [this] { return stop_.load(); });
    }
  }

  const std::string path_;
  const std::chrono::milliseconds patience_;
  Shared* shared_;
  std::unique_ptr<RuntimeClient> client_;
  bool ask_problem_ = false, follow_problem_ = false;  // each of one thread

  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<bool> stop_ = false;
  // Guarded by mutex_.
  std::multimap<Clock::time_point, Wanted> asks_;
  std::map<std::string, Container> told_;
  std::deque<std::string> told_order_;

  std::thread asker_, follower_;
};

std::vector<RuntimeSocket> DefaultRuntimeSockets() {
  using Api = RuntimeSocket::Api;
  const RuntimeSocket all[] = {{Api::kCri, "/run/containerd/containerd.sock"},
                               {Api::kCri, "/run/k3s/containerd/containerd.sock"},
                               {Api::kCri, "/run/crio/crio.sock"},
                               {Api::kCri, "/run/cri-dockerd.sock"},
                               {Api::kEngine, "/run/docker.sock"},
                               {Api::kEngine, "/run/podman/podman.sock"}};
  std::vector<RuntimeSocket> out;
  std::copy_if(std::begin(all), std::end(all), std::back_inserter(out),
               [](const RuntimeSocket& socket) { return access(socket.path.c_str(), F_OK) == 0; });
  return out;
}

Runtimes::Runtimes(const std::vector<RuntimeSocket>& sockets, std::chrono::milliseconds patience)
    : shared_(std::make_unique<Shared>()) {
  for (const RuntimeSocket& socket : sockets)
    sources_.push_back(std::make_unique<Source>(socket, patience, shared_.get()));
}

Runtimes::~Runtimes() = default;

void Runtimes::Ask(const std::string& container_id) {
  for (const auto& source : sources_)
    source->Want(container_id);
}

int Runtimes::event_fd() const { return shared_->news_fd.get(); }

std::vector<Container> Runtimes::Take() {
  const std::lock_guard lock(shared_->mutex);
  uint64_t count;
  [[maybe_unused]] const ssize_t n = read(shared_->news_fd.get(), &count, sizeof(count));
  return std::exchange(shared_->news, {});
}

std::vector<std::string> Runtimes::TakeProblems() {
  const std::lock_guard lock(shared_->mutex);
  return std::exchange(shared_->problems, {});
}

}  // namespace sandpiper
