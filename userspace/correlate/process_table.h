// SPDX-License-Identifier: Apache-2.0
// The processes of one sandbox with their ancestry: those that run, and the last ones that exited.
#ifndef SANDPIPER_USERSPACE_CORRELATE_PROCESS_TABLE_H_
#define SANDPIPER_USERSPACE_CORRELATE_PROCESS_TABLE_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "userspace/base/bounded_fifo.h"
#include "userspace/event/event.h"

namespace sandpiper {

struct Process {
  Origin origin = 0;
  ProcessKey key;
  ProcessKey parent;
  std::string comm;
  SharedText path;
  SharedText working_directory;
  SharedText script;
  std::vector<std::string> args;
  bool args_truncated = false;
  uint64_t entered_ns = 0;  // CLOCK_BOOTTIME of its move into the sandbox; 0: it started there
  uint64_t exec_ns = 0;     // CLOCK_BOOTTIME of its last exec; 0: no exec was seen
  uint64_t exited_ns = 0;   // CLOCK_BOOTTIME of its exit; 0: it runs
  uint32_t status = 0;      // as in wait(2)
  bool oom_killed = false;

  // Time from its start, or from its move into the sandbox, to its exit.
  uint64_t duration_ns() const;
};

// SandboxSession owns one, and calls it on the event loop only.
class ProcessTable {
 public:
  // Keeps the last `exited_max` processes that exited, for late events and for the report.
  explicit ProcessTable(size_t exited_max) : exited_(exited_max) {}

  const Process& OnExec(const Exec& exec, uint64_t time_ns);
  // Adds a process that ran before sandpiper watched the sandbox. `exec` was read from /proc, which
  // rounds the start time down to clock ticks.
  void AddExisting(const Exec& exec);
  void OnFork(const Fork& fork, uint64_t time_ns);
  // Returns the process as it exited. Adds it first if it is not known.
  const Process& OnExit(const Exit& exit, uint64_t time_ns);

  // Drops running processes for which `is_alive` returns false in two calls in a row: their exit
  // event was lost. After one call it may still be queued.
  void DropDead(const std::function<bool(const ProcessKey&)>& is_alive);

  // Null if the process is not known.
  const Process* Find(const ProcessKey& key) const;
  // The paths of parent, grandparent, … that are known in this sandbox; at most eight.
  std::vector<SharedText> Ancestors(const Process& process) const;

  // Sorted by start time.
  std::vector<const Process*> All() const;
  // Processes that were dropped: over the limit of exited ones, or by DropDead.
  size_t dropped() const { return dropped_; }

 private:
  // Finds the process or adds it. An entry of AddExisting gets its exact start time here.
  Process& Get(const ProcessKey& key);

  size_t dropped_ = 0;
  absl::flat_hash_map<ProcessKey, Process> processes_;
  // The keys of AddExisting with their rounded start times, by pid.
  absl::flat_hash_map<uint32_t, ProcessKey> rounded_;
  BoundedFifo<ProcessKey> exited_;
  absl::flat_hash_set<ProcessKey> missing_;  // not alive at the last DropDead
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CORRELATE_PROCESS_TABLE_H_
