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

// Pauses between two queries for a container that the runtime does not know, doubled each time. Its
// cgroup exists before the runtime lists it, and a container of another runtime stays unknown.
constexpr std::chrono::milliseconds kRetry{100};
constexpr std::chrono::milliseconds kRetryMax{800};
// One list answers more queries than this; up to this many are answered one by one.
constexpr size_t kFindMax = 2;
// A list finds changes that cause no event, as of annotations.
constexpr std::chrono::seconds kListInterval{10};
constexpr std::chrono::seconds kFollowRetry{1};
// Bounds of the queues, in containers and in messages.
constexpr size_t kWaitingMax = 16'384;
constexpr size_t kProblemsMax = 1'024;

// Empty, except for a socket that belongs to another user or lies in such a user's folder, as those
// of rootless Podman do.
Capabilities CapabilitiesFor(const std::string& path) {
  for (std::filesystem::path part = path; part.has_relative_path(); part = part.parent_path()) {
    struct stat info = {};
    if (stat(part.c_str(), &info) == 0 && info.st_uid != geteuid())
      return {CAP_DAC_OVERRIDE};
  }
  return {};
}

}  // namespace

// Results of all sources, until the owner of Runtimes drains them.
struct Runtimes::Shared {
  std::mutex mutex;
  UniqueFd event_fd{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::vector<Container> changed;
  std::vector<std::string> problems;

  void Signal() {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = write(event_fd.get(), &one, sizeof(one));
  }
};

// One runtime. The query thread asks for single containers and for lists; the event thread follows
// the runtime's stream of events.
class Runtimes::Source {
 public:
  Source(const RuntimeSocket& socket, std::chrono::milliseconds patience, Shared* shared)
      : path_(socket.path),
        patience_(patience),
        shared_(shared),
        client_(socket.api == RuntimeSocket::Api::kCri ? MakeCriClient(socket.path)
                                                       : MakeEngineClient(socket.path)),
        query_thread_(
            [this] { KeepCapabilities(CapabilitiesFor(path_)).IgnoreError(), RunQueries(); }),
        event_thread_(
            [this] { KeepCapabilities(CapabilitiesFor(path_)).IgnoreError(), RunEvents(); }) {}

  ~Source() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    query_thread_.join();
    event_thread_.join();
  }

  void Enqueue(const std::string& id) {
    {
      const std::lock_guard lock(mutex_);
      if (queries_.size() < kWaitingMax)
        queries_.emplace(Clock::now(), Query{.id = id, .until = Clock::now() + patience_});
    }
    wake_.notify_all();
  }

 private:
  struct Query {
    std::string id;
    Clock::time_point until;
    std::chrono::milliseconds again = kRetry;
  };

  void Publish(Container container) {
    container.source = path_;
    // The queue is full: the next list reports the container again.
    if (const std::lock_guard lock(shared_->mutex); shared_->changed.size() >= kWaitingMax)
      return;
    {
      const std::lock_guard lock(mutex_);
      auto [it, added] = published_.try_emplace(container.id);
      if (!added && (it->second == container || (it->second.complete && !container.complete)))
        return;
      it->second = container;
      if (added) {
        published_order_.push_back(container.id);
        if (published_order_.size() > kWaitingMax) {
          published_.erase(published_order_.front());
          published_order_.pop_front();
        }
      }
    }
    const std::lock_guard lock(shared_->mutex);
    shared_->changed.push_back(std::move(container));
    shared_->Signal();
  }

  // Reports the first of consecutive failures.
  void ReportProblem(const absl::Status& status, bool* is_reported) {
    const bool is_new = !status.ok() && !*is_reported;
    *is_reported = !status.ok();
    if (!is_new)
      return;
    const std::lock_guard lock(shared_->mutex);
    if (shared_->problems.size() < kProblemsMax)
      shared_->problems.push_back(
          absl::StrCat("the runtime at ", path_, ": ", std::string(status.message())));
    shared_->Signal();
  }

  // The incomplete metadata that a list or an event gave of the container, if any.
  std::optional<Container> FindIncomplete(const std::string& id) {
    const std::lock_guard lock(mutex_);
    const auto it = published_.find(id);
    return it == published_.end() || it->second.complete ? std::nullopt : std::optional(it->second);
  }

  bool IsPublished(const std::string& id) {
    const std::lock_guard lock(mutex_);
    const auto it = published_.find(id);
    return it != published_.end() && it->second.complete;
  }

  // Whether the query is not to be repeated. All functions below return false to repeat it.
  static bool IsExpired(const Query& query) { return Clock::now() + query.again >= query.until; }

  // The runtime does not know the container yet, or has removed it. Metadata of an event is all
  // there will be then.
  bool OnUnknown(const Query& query) {
    std::optional<Container> known = FindIncomplete(query.id);
    if (!known)
      return IsExpired(query);
    known->complete = true;
    Publish(*std::move(known));
    return true;
  }

  bool Resolve(const Query& query) {
    absl::StatusOr<std::optional<Container>> found = client_->Find(query.id);
    ReportProblem(found.status(), &query_problem_);
    if (!found.ok())
      return IsExpired(query);
    if (!*found)
      return OnUnknown(query);
    Publish(**std::move(found));
    return true;
  }

  // Answers all queries by one list and removes those that are done. A slow runtime would answer
  // single queries one after another, the last one long after its container was removed.
  void ResolveByList(std::vector<Query>* queries) {
    const bool listed = List(Incomplete::kKeep);
    std::erase_if(*queries, [&](const Query& one) {
      if (IsPublished(one.id))
        return true;
      if (!listed)
        return IsExpired(one);
      // A list may be incomplete: ask for the container itself.
      return FindIncomplete(one.id) ? Resolve(one) : OnUnknown(one);
    });
  }

  // Publishes all containers of the runtime. kQuery also asks for each one that the list describes
  // incompletely. False if the runtime returned no list.
  enum class Incomplete { kKeep, kQuery };
  bool List(Incomplete incomplete) {
    absl::StatusOr<std::vector<Container>> all = client_->List();
    ReportProblem(all.status(), &query_problem_);
    if (!all.ok())
      return false;
    for (Container& container : *all) {
      const bool complete = container.complete;
      const std::string id = container.id;
      Publish(std::move(container));
      if (incomplete == Incomplete::kQuery && !complete && FindIncomplete(id))
        Enqueue(id);
    }
    return true;
  }

  // Waits until queries or a list are due, and moves the due queries to `out`. False at the end.
  bool WaitForDue(Clock::time_point next_list, std::vector<Query>* out) {
    std::unique_lock lock(mutex_);
    const auto due = [&] {
      return queries_.empty() ? next_list : std::min(next_list, queries_.begin()->first);
    };
    while (!stop_ && Clock::now() < due())
      wake_.wait_until(lock, due());
    const auto end = queries_.upper_bound(Clock::now());
    for (auto it = queries_.begin(); it != end; ++it)
      out->push_back(std::move(it->second));
    queries_.erase(queries_.begin(), end);
    return !stop_;
  }

  void RunQueries() {
    Clock::time_point next_list = Clock::now();
    for (std::vector<Query> queries; WaitForDue(next_list, &queries); queries.clear()) {
      if (queries.size() > kFindMax)
        ResolveByList(&queries);
      else
        std::erase_if(queries, [this](const Query& one) { return Resolve(one); });
      {
        const std::lock_guard lock(mutex_);
        for (Query& one : queries) {
          const auto due = Clock::now() + one.again;
          one.again = std::min(2 * one.again, kRetryMax);
          queries_.emplace(due, std::move(one));
        }
      }
      if (Clock::now() >= next_list) {
        List(Incomplete::kQuery);
        next_list = Clock::now() + kListInterval;
      }
    }
  }

  void RunEvents() {
    while (!stop_) {
      const absl::Status status =
          client_->Follow(stop_, [this](Container container) { Publish(std::move(container)); });
      if (absl::IsUnimplemented(status))
        return;
      // The query thread reports a runtime that does not answer.
      if (!absl::IsUnavailable(status))
        ReportProblem(status, &event_problem_);
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, kFollowRetry, [this] { return stop_.load(); });
    }
  }

  const std::string path_;
  const std::chrono::milliseconds patience_;
  Shared* shared_;
  std::unique_ptr<RuntimeClient> client_;
  bool query_problem_ = false;  // used by the query thread only
  bool event_problem_ = false;  // used by the event thread only

  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<bool> stop_ = false;
  // Guarded by mutex_.
  std::multimap<Clock::time_point, Query> queries_;
  std::map<std::string, Container> published_;
  std::deque<std::string> published_order_;

  std::thread query_thread_;
  std::thread event_thread_;
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

void Runtimes::Request(const std::string& container_id) {
  for (const auto& source : sources_)
    source->Enqueue(container_id);
}

int Runtimes::event_fd() const { return shared_->event_fd.get(); }

std::vector<Container> Runtimes::Drain() {
  const std::lock_guard lock(shared_->mutex);
  uint64_t count;
  [[maybe_unused]] const ssize_t n = read(shared_->event_fd.get(), &count, sizeof(count));
  return std::exchange(shared_->changed, {});
}

std::vector<std::string> Runtimes::DrainProblems() {
  const std::lock_guard lock(shared_->mutex);
  return std::exchange(shared_->problems, {});
}

}  // namespace sandpiper
