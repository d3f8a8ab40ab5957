// SPDX-License-Identifier: Apache-2.0
// Reads the rules of network namespaces and their changes, in a thread of its own. That thread
// enters the namespaces and keeps the capabilities for it, so that no other thread needs them. All
// public methods are for the event loop's thread.
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

// Changes and readings of one namespace in the order in which they happened. A reading follows the
// transactions that it contains.
struct RulesetNews {
  uint32_t netns = 0;  // inode number
  std::vector<NftTransaction> transactions;
  bool lost = false;  // the kernel lost notifications: transactions are missing
  std::optional<absl::StatusOr<Ruleset>> reading;
  // CLOCK_BOOTTIME: every commit before this time has been reported.
  uint64_t complete_ns = 0;
};

class RulesetReader {
 public:
  RulesetReader();
  // Joins the thread and releases all namespaces.
  ~RulesetReader();
  RulesetReader(const RulesetReader&) = delete;
  RulesetReader& operator=(const RulesetReader&) = delete;

  // Call once nf_tables is loaded. No netlink socket is opened before, because that would load it.
  void Start();
  // Reads the rules at once and after each change, until Forget. This keeps the namespace alive.
  // Rules of iptables-legacy are looked for before Start, too.
  void Watch(uint32_t netns, UniqueFd fd);
  void Forget(uint32_t netns);

  // Readable when Drain has something to return.
  int event_fd() const { return news_fd_.get(); }
  std::vector<RulesetNews> Drain();

  // Waits until Drain can return everything that happened before the call; false after `limit`.
  bool Sync(std::chrono::milliseconds limit);

 private:
  struct Namespace {
    UniqueFd fd;  // of the namespace, as long as there is no socket that keeps it
    std::optional<NftSocket> socket;
    bool is_open_tried = false;
    bool dirty = true;
    int failures = 0;
    uint64_t next_read_ns = 0;
    // Changes without a notification are looked for at this time.
    uint64_t next_check_ns = 0;
    std::vector<TableFlags> tables;  // as last read
    std::vector<XtablesTable> xtables;
  };

  void Run();
  // False at the end.
  bool ApplyRequests();
  void Open(uint32_t netns, Namespace* space);
  // Looks for changes that the kernel does not notify: of iptables-legacy, and of tables that are
  // removed with the socket of their owner.
  void Check(uint32_t netns, Namespace* space);
  void DrainNotifications(uint32_t netns, Namespace* space);
  void ReadIfDue(uint32_t netns, Namespace* space);
  void Publish(RulesetNews news);
  void Wake();

  UniqueFd request_fd_, news_fd_;
  std::mutex mutex_;
  std::condition_variable synced_;
  // Guarded by mutex_.
  bool stop_ = false;
  bool started_ = false;
  std::map<uint32_t, UniqueFd> to_watch_;
  std::set<uint32_t> to_forget_;
  std::vector<RulesetNews> news_;
  uint64_t sync_requested_ = 0;
  uint64_t sync_done_ = 0;

  // Used by the thread only.
  uint64_t sync_seen_ = 0;
  std::map<uint32_t, Namespace> spaces_;
  std::thread thread_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RULESET_RULESET_READER_H_
