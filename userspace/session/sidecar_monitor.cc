// SPDX-License-Identifier: Apache-2.0
#include "userspace/session/sidecar_monitor.h"

#include <utility>

#include "userspace/base/clock.h"

namespace sandpiper {
namespace {

// Programs that start the sidecar, or that it starts to change rules, end sooner than this.
constexpr uint64_t kRunsLongEnough = 2 * kSecond;

}  // namespace

void SidecarMonitor::OnProgram(const Process& process, uint64_t time_ns) {
  const bool has_name = IsOpenSandboxEgress(process.path.view());
  // Programs that the sidecar starts inherit its variables.
  if (!has_name && (running_ || candidate_))
    return;
  // While a cgroup is added, its programs are read from /proc and their events arrive.
  const bool is_running_already = process.exec_ns == 0;
  if (running_ && running_->process.key.pid == process.key.pid &&
      (is_running_already || time_ns <= running_->started_ns))
    return;
  std::optional<OpenSandboxPolicy> policy =
      ReadOpenSandboxPolicy(static_cast<pid_t>(process.key.pid), proc_);
  if (!policy || (!has_name && !policy->has_settings))
    return;
  Program program = {.process = process,
                     .policy = *std::move(policy),
                     .started_ns = time_ns,
                     .has_name = has_name};
  if (has_name)
    Report(std::move(program));
  else
    candidate_ = std::move(program);
}

void SidecarMonitor::OnExit(const ProcessKey& process) {
  // By pid: the start time of a process that was running already is not exact.
  for (std::optional<Program>* const program : {&running_, &candidate_}) {
    if (*program && (*program)->process.key.pid == process.pid)
      program->reset();
  }
}

void SidecarMonitor::ExpireDue(uint64_t now_ns) {
  if (candidate_ && now_ns >= NextDeadline())
    Report(*std::exchange(candidate_, std::nullopt));
}

uint64_t SidecarMonitor::NextDeadline() const {
  return candidate_ ? candidate_->started_ns + kRunsLongEnough
                    : std::numeric_limits<uint64_t>::max();
}

void SidecarMonitor::Report(Program program) {
  candidate_.reset();
  running_ = std::move(program);
  context_->emitter.Emit([&](RecordMaker& records, int64_t unix_offset) {
    return records.PolicyLoaded(running_->policy, running_->process, running_->started_ns,
                                unix_offset);
  });
}

}  // namespace sandpiper
