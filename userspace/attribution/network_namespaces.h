// SPDX-License-Identifier: Apache-2.0
// Which network namespaces the sandboxes live in, and the rules there.
#ifndef SANDPIPER_USERSPACE_ATTRIBUTION_NETWORK_NAMESPACES_H_
#define SANDPIPER_USERSPACE_ATTRIBUTION_NETWORK_NAMESPACES_H_

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "userspace/base/fd.h"
#include "userspace/correlate/ruleset_history.h"
#include "userspace/ruleset/ruleset_reader.h"

namespace sandpiper {

class NetworkNamespaces {
 public:
  // The processes that may be in a namespace of a sandbox, the likeliest first.
  using Processes = std::function<std::vector<pid_t>(uint64_t sandbox)>;
  // What became known of the rules that a sandbox lives under.
  using Sink = std::function<void(uint64_t sandbox, const RulesetOutcome& outcome)>;
  // Who lives in it, for the kernel side; 0: nobody is left, and its number may be given to a new
  // one. `lends`: nobody else lives there, and what comes in without a watched cgroup counts as the
  // sandbox's.
  using Owned = std::function<void(uint32_t netns, uint64_t sandbox, bool lends)>;

  NetworkNamespaces(Processes processes, Sink sink, Owned owned)
      : processes_(std::move(processes)), sink_(std::move(sink)), owned_(std::move(owned)) {}

  // nf_tables is there: `fresh` if that has come about while we were watching.
  void Begin(bool fresh);

  // A process of the sandbox is, or was a moment ago, in the namespace. Cheap where that is known.
  void Enter(uint64_t sandbox, uint32_t netns, pid_t pid);
  void OnChange(const NftChange& change, uint64_t sandbox, uint64_t time_ns);
  // A process of the sandbox ended: one of its namespaces may have nobody left in it, and is let go
  // then.
  void OnExit(uint64_t sandbox) { to_check_.insert(sandbox); }

  // A part of the sandbox is gone: another may have to stand for it.
  void OnMemberGone(uint64_t sandbox);
  // Nothing more is told to it.
  void OnSandboxEnd(uint64_t sandbox, uint64_t now_ns);

  // Takes what was heard, and hands on what is certain by now; with `all`, everything.
  void Work(uint64_t now_ns, bool all);
  // Waits until the rules of all namespaces have been read as they are now, but no longer than
  // `limit`.
  bool Sync(std::chrono::milliseconds limit) { return reader_.Sync(limit); }

  // Static rules and elements in force in all namespaces of the sandbox; nothing if those of one
  // are unknown, or none is known.
  std::optional<uint64_t> StaticRules(uint64_t sandbox) const;

  int event_fd() const { return reader_.event_fd(); }
  uint64_t NextDeadline() const;

 private:
  struct Space {
    RulesetHistory history;
    std::set<uint64_t> sandboxes;
    bool shared = false;  // with who made the sandbox, as a runtime's own namespace, in which a
                          // container's first process begins

    bool lends() const { return sandboxes.size() == 1 && !shared; }
  };

  // An open namespace, if the process is in just that one.
  static UniqueFd OpenNamespace(pid_t pid, uint32_t netns);
  UniqueFd FindNamespace(uint32_t netns, uint64_t sandbox, pid_t pid) const;
  void LetGo(uint64_t now_ns);
  using Spaces = std::map<uint32_t, Space>;
  Spaces::iterator Forget(Spaces::iterator space);
  void Tell(const Space& space, const RulesetOutcome& outcome);

  Processes processes_;
  Sink sink_;
  Owned owned_;
  RulesetReader reader_;
  std::map<uint32_t, Space> spaces_;  // by inode number; all of them are watched
  std::set<uint64_t> to_check_;
  uint64_t next_check_ns_ = 0;
  bool fresh_ = false;
};

// The inode number of our own network namespace, 0 if it cannot be had.
uint32_t OwnNetworkNamespace();

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_ATTRIBUTION_NETWORK_NAMESPACES_H_
