// SPDX-License-Identifier: Apache-2.0
#include "userspace/correlate/process_table.h"

#include <algorithm>
#include <utility>

#include "userspace/base/clock.h"

namespace sandpiper {
namespace {

// Enough for a shell in a tool in an agent in a supervisor, and still short in a log line.
constexpr size_t kAncestorsMax = 8;
// The unit of times in /proc/PID/stat. USER_HZ is 100 on every architecture that is supported.
constexpr uint64_t kClockTick = 10 * kMillisecond;

void SetImage(const Exec& exec, Process* process) {
  process->origin = exec.origin;
  process->parent = exec.parent;
  process->comm = exec.comm;
  process->path = exec.path;
  process->working_directory = exec.working_directory;
  process->script = exec.script;
  process->args = exec.args;
  process->args_truncated = exec.args_truncated;
}

}  // namespace

uint64_t Process::duration_ns() const {
  const uint64_t began = std::max(key.start_ns, entered_ns);
  return exited_ns - std::min(exited_ns, began);
}

Process& ProcessTable::Get(const ProcessKey& key) {
  if (const auto rounded = rounded_.find(key.pid);
      rounded != rounded_.end() && rounded->second != key) {
    const ProcessKey old = rounded->second;
    rounded_.erase(rounded);
    if (auto known = processes_.extract(old); known && key.start_ns - old.start_ns < kClockTick) {
      known.mapped().key = key;
      processes_.emplace(key, std::move(known.mapped()));
    }
  }
  Process& process = processes_[key];
  process.key = key;
  return process;
}

const Process& ProcessTable::OnExec(const Exec& exec, uint64_t time_ns) {
  Process& process = Get(exec.process);
  SetImage(exec, &process);
  process.exec_ns = time_ns;
  return process;
}

void ProcessTable::AddExisting(const Exec& exec) {
  Process& process = Get(exec.process);
  rounded_[exec.process.pid] = exec.process;
  SetImage(exec, &process);
  process.exec_ns = 0;
}

// A child runs the program of its parent until its first exec.
void ProcessTable::OnFork(const Fork& fork, uint64_t time_ns) {
  const bool is_known = Find(fork.process) != nullptr;
  Process& child = Get(fork.process);
  const Process* const parent = Find(fork.parent);
  child.origin = fork.origin;
  child.parent = fork.parent;
  child.comm = fork.comm;
  if (fork.entered && !is_known)
    child.entered_ns = time_ns;
  if (child.path.empty() && parent) {
    child.path = parent->path;
    child.working_directory = parent->working_directory;
    child.script = parent->script;
  }
}

const Process& ProcessTable::OnExit(const Exit& exit, uint64_t time_ns) {
  if (const auto oldest = exited_.Push(exit.process)) {
    processes_.erase(*oldest);
    ++dropped_;
  }
  Process& process = Get(exit.process);
  if (exit.origin != 0)
    process.origin = exit.origin;
  process.exited_ns = time_ns;
  process.status = exit.status;
  process.oom_killed = exit.oom_killed;
  return process;
}

void ProcessTable::DropDead(const std::function<bool(const ProcessKey&)>& is_alive) {
  absl::flat_hash_set<ProcessKey> missing;
  for (const auto& [key, process] : processes_) {
    if (process.exited_ns == 0 && !is_alive(key))
      missing.insert(key);
  }
  for (const ProcessKey& key : missing_) {
    if (missing.erase(key) == 0)
      continue;
    processes_.erase(key);
    ++dropped_;
  }
  missing_ = std::move(missing);
}

const Process* ProcessTable::Find(const ProcessKey& key) const {
  if (const auto found = processes_.find(key); found != processes_.end())
    return &found->second;
  if (const auto rounded = rounded_.find(key.pid);
      rounded != rounded_.end() && key.start_ns - rounded->second.start_ns < kClockTick) {
    const auto known = processes_.find(rounded->second);
    return known == processes_.end() ? nullptr : &known->second;
  }
  return nullptr;
}

std::vector<SharedText> ProcessTable::Ancestors(const Process& process) const {
  std::vector<SharedText> out;
  for (const Process* p = Find(process.parent); p && out.size() < kAncestorsMax;
       p = Find(p->parent)) {
    if (!p->path.empty())
      out.push_back(p->path);
    if (p->parent == p->key)
      break;
  }
  return out;
}

std::vector<const Process*> ProcessTable::All() const {
  std::vector<const Process*> out;
  for (const auto& [key, process] : processes_)
    out.push_back(&process);
  std::sort(out.begin(), out.end(), [](const Process* a, const Process* b) {
    return std::tie(a->key.start_ns, a->key.pid) < std::tie(b->key.start_ns, b->key.pid);
  });
  return out;
}

}  // namespace sandpiper
