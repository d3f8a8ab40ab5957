// SPDX-License-Identifier: Apache-2.0
// A thread that enters network namespaces, reads the rules there, and hears of each change. It
// keeps what that takes, and nothing else; no other thread needs it.
#ifndef SANDPIPER_USERSPACE_RULESET_RULESET_READER_H_
#define SANDPIPER_USERSPACE_RULESET_RULESET_READER_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "userspace/base/fd.h"
#include "userspace/ruleset/nft_socket.h"

namespace sandpiper {

// What was heard of one namespace, in the order in which it happened. A reading comes behind the
// transactions that it holds.
struct RulesetNews {
  uint32_t netns = 0;  // inode number
  std::vector<NftTransaction> transactions;
  bool lost = false;  // notifications: some transactions are not among them
  std::optional<absl::StatusOr<Ruleset>> reading;
  uint64_t complete_ns =
      0;  // CLOCK_BOOTTIME: everything that was committed before it has been told
};

class RulesetReader {
 public:
  RulesetReader();
  // Joins the thread, and lets go of all namespaces.
  ~RulesetReader();
  RulesetReader(const RulesetReader&) = delete;
  RulesetReader& operator=(const RulesetReader&) = delete;

  // nf_tables is there. Until then nothing is opened, since that would load it.
  void Start();
  // Reads the rules at once and after each change. While it is watched, the namespace lives on.
  void Watch(uint32_t netns, UniqueFd fd);
  void Forget(uint32_t netns);

  // Readable when Take has something.
  int event_fd() const { return news_fd_.get(); }
  std::vector<RulesetNews> Drain();

  // Waits until all that happened before the call can be taken; false if that took longer than
  // `limit`.
  bool Sync(std::chrono::milliseconds limit);

 private:
  struct Namespace {
    NftSocket socket;
    bool dirty = true;
    int failures = 0;
    uint64_t next_read_ns = 0;
  };

  void Run();
  // False: stop.
  bool ApplyRequests();
  void Open(uint32_t netns, const UniqueFd& fd);
  void DrainNotifications(uint32_t netns, Namespace* space);
  void ReadIfDue(uint32_t netns, Namespace* space);
  void Publish(RulesetNews news);
  void Wake();

  UniqueFd request_fd_, news_fd_;
  std::mutex mutex_;
  std::condition_variable synced_;
  // Guarded by mutex_.
  bool stop_ = false, started_ = false;
  std::map<uint32_t, UniqueFd> to_watch_;
  std::set<uint32_t> to_forget_;
  std::vector<RulesetNews> news_;
  uint64_t sync_asked_ = 0, sync_done_ = 0;

  // Of the thread.
  std::map<uint32_t, Namespace> spaces_;
  std::thread thread_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RULESET_RULESET_READER_H_
