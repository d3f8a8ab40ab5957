// SPDX-License-Identifier: Apache-2.0
#ifndef SANDPIPER_USERSPACE_ATTRIBUTION_NETWORK_NAMESPACES_H_
#define SANDPIPER_USERSPACE_ATTRIBUTION_NETWORK_NAMESPACES_H_

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "userspace/base/fd.h"
#include "userspace/correlate/ruleset_history.h"
#include "userspace/probe/kernel_tables.h"
#include "userspace/ruleset/ruleset_reader.h"

namespace sandpiper {

// Opens the network namespace of a process, if that is the one with this inode number. Else the
// descriptor is not ok.
UniqueFd OpenNamespaceOf(pid_t pid, uint32_t netns);
// True if the parent process is in the namespace too, but in another cgroup. A container's first
// process begins in the network namespace of its runtime, for example.
bool IsSharedWithParent(pid_t pid, uint32_t netns);
// The inode number of the network namespace of this process, 0 if it cannot be read.
uint32_t OwnNetworkNamespace();

// How NetworkNamespaces looks at processes. Tests replace it.
struct NamespaceLookup {
  std::function<UniqueFd(pid_t pid, uint32_t netns)> open = OpenNamespaceOf;
  std::function<bool(pid_t pid, uint32_t netns)> is_shared_with_parent = IsSharedWithParent;
};

// The network namespaces that sandboxes use, and the nftables rules in them. Each one is kept open
// while a process of a sandbox is in it.
//
// Owned by Pipeline. All calls are made by the thread of the event loop; rules are read by a thread
// of RulesetReader.
class NetworkNamespaces {
 public:
  // Returns the processes that may be in a namespace of the sandbox, the likeliest first.
  using ListProcesses = std::function<std::vector<pid_t>(uint64_t sandbox)>;
  // Takes transactions and rules of a namespace that the sandbox uses.
  using RulesetSink = std::function<void(uint64_t sandbox, const RulesetOutcome& outcome)>;
  // Tells the BPF programs which sandbox owns a namespace. Sandbox 0: it has no owner any more, and
  // the kernel may give its inode number to a new namespace.
  using SetOwner = std::function<void(uint32_t netns, uint64_t sandbox, NamespaceUse use)>;

  NetworkNamespaces(ListProcesses list_processes, RulesetSink sink, SetOwner set_owner,
                    NamespaceLookup lookup = {})
      : list_processes_(std::move(list_processes)),
        sink_(std::move(sink)),
        set_owner_(std::move(set_owner)),
        lookup_(std::move(lookup)) {}

  // Starts to read rules. Not called earlier, since the first reading would load nf_tables.
  // `coverage`: kFromFirstCommit if nf_tables was loaded only now, so that no transaction was
  // missed.
  void OnNftLoaded(RulesetCoverage coverage);

  // A process of the sandbox is in the namespace, or was a moment ago. Cheap for a known namespace.
  void Enter(uint64_t sandbox, uint32_t netns, pid_t pid);
  void OnChange(const NftChange& change, uint64_t sandbox, uint64_t time_ns);
  // A process of the sandbox ended, maybe the last one in a namespace. The next Poll finds out.
  void OnExit(uint64_t sandbox) { to_check_.insert(sandbox); }
  // A cgroup of the sandbox was removed. Another member becomes the owner of its namespaces.
  void OnMemberRemoved(uint64_t sandbox);
  // The sandbox ended. It gets what is known about its rules, and nothing after that.
  void OnSandboxEnd(uint64_t sandbox, uint64_t now_ns);
  // Rules or transactions of a namespace were read.
  void OnNews(RulesetNews news);

  // Reads news, and publishes what cannot change any more.
  void Poll(uint64_t now_ns);
  // Publishes everything that is known.
  void Drain(uint64_t now_ns);
  // Waits until the current rules of all namespaces were read, at most `limit`.
  bool Sync(std::chrono::milliseconds limit) { return reader_.Sync(limit); }

  // The number of static rules and elements in all namespaces of the sandbox. Nothing if it has no
  // namespace, or the rules of one are unknown.
  std::optional<uint64_t> StaticRules(uint64_t sandbox) const;

  // Readable when Poll has news to read.
  int event_fd() const { return reader_.event_fd(); }
  uint64_t NextDeadline() const;

 private:
  struct Space {
    RulesetHistory history;
    std::set<uint64_t> sandboxes;
    bool is_shared_with_parent = false;

    NamespaceUse use() const {
      return sandboxes.size() == 1 && !is_shared_with_parent ? NamespaceUse::kExclusive
                                                             : NamespaceUse::kShared;
    }
  };
  using Spaces = std::map<uint32_t, Space>;

  // `pid` may have ended, so the other processes of the sandbox are tried after it. 0: none known.
  UniqueFd FindNamespace(uint32_t netns, uint64_t sandbox, pid_t pid) const;
  void PublishOwner(uint32_t netns, const Space& space) const;
  void Publish(const Space& space, const RulesetOutcome& outcome) const;
  // Releases the namespaces in which no process of a sandbox is left.
  void ReleaseEmpty(uint64_t now_ns);
  bool IsEmpty(uint32_t netns, const Space& space) const;
  Spaces::iterator Release(Spaces::iterator space);

  ListProcesses list_processes_;
  RulesetSink sink_;
  SetOwner set_owner_;
  NamespaceLookup lookup_;
  RulesetReader reader_;
  Spaces spaces_;                // by inode number; the reader watches all of them
  std::set<uint64_t> to_check_;  // sandboxes of which a process ended
  uint64_t next_check_ns_ = 0;
  RulesetCoverage coverage_ = RulesetCoverage::kFromNow;  // of namespaces that are entered next
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_ATTRIBUTION_NETWORK_NAMESPACES_H_
