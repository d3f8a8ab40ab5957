// SPDX-License-Identifier: Apache-2.0
// The processes of one sandbox, living and lately gone, with their ancestry.
#ifndef SANDPIPER_USERSPACE_CORRELATE_PROCESS_TABLE_H_
#define SANDPIPER_USERSPACE_CORRELATE_PROCESS_TABLE_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "userspace/base/bounded_fifo.h"
#include "userspace/event/event.h"

namespace sandpiper {

struct Process {
  Origin origin = 0;
  ProcessKey key, parent;
  std::string comm;
  SharedText path, working_directory, script;
  std::vector<std::string> args;
  bool args_truncated = false;
  uint64_t entered_ns = 0;  // CLOCK_BOOTTIME when it was moved into the sandbox; 0: it began there
  uint64_t exec_ns = 0;     // CLOCK_BOOTTIME of its last exec; 0: none was seen
  uint64_t exited_ns = 0;   // 0: alive
  uint32_t status = 0;      // as wait(2) gives it
  bool oom = false;         // killed by the kernel, for want of memory

  // How long it was in the sandbox, once it exited.
  uint64_t duration_ns() const;
};

class ProcessTable {
 public:
  // How many that have exited are remembered, for late events and for the report; the oldest go
  // first.
  explicit ProcessTable(size_t exited_max) : exited_(exited_max) {}

  // `from_proc`: read from /proc rather than told by the kernel side, so its start time is rounded.
  const Process& OnExec(const Exec& exec, uint64_t time_ns, bool from_proc = false);
  void OnFork(const Fork& fork, uint64_t time_ns);
  // The process as it ended; also for one that was never seen to start.
  const Process& OnExit(const Exit& exit, uint64_t time_ns);

  // Forgets those that `lives` denies twice in a row: the event of their end was lost.
  void DropDead(const std::function<bool(const ProcessKey&)>& lives);

  // Null where it is not known.
  const Process* Find(const ProcessKey& key) const;
  // Paths of parent, grandparent, … as far as they are known within the sandbox, at most eight.
  std::vector<SharedText> Ancestors(const Process& process) const;

  // In the order of their start.
  std::vector<const Process*> All() const;
  size_t forgotten() const { return forgotten_; }

 private:
  Process& Get(const ProcessKey& key);

  size_t forgotten_ = 0;
  absl::flat_hash_map<ProcessKey, Process> processes_;
  absl::flat_hash_map<uint32_t, ProcessKey>
      rounded_;  // by pid: those whose start time came from /proc
  BoundedFifo<ProcessKey> exited_;
  absl::flat_hash_set<ProcessKey> missing_;  // those that it denied last time
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CORRELATE_PROCESS_TABLE_H_
