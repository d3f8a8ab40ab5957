// SPDX-License-Identifier: Apache-2.0
// Reads processes that started before sandpiper did, from /proc.
#ifndef SANDPIPER_USERSPACE_SANDBOX_PROC_H_
#define SANDPIPER_USERSPACE_SANDBOX_PROC_H_

#include <sys/types.h>

#include <optional>
#include <string>

#include "userspace/event/event.h"

namespace sandpiper {

// The exec event that the process would have caused; nullopt if it has exited. /proc gives start
// times in clock ticks, so `process.start_ns` is rounded down to 10 ms, and such a process is
// identified by its pid alone.
std::optional<Exec> ReadProcess(pid_t pid, const std::string& proc = "/proc");

// Whether the process with this pid and start time, which may be rounded, still runs.
bool IsAlive(const ProcessKey& process, const std::string& proc = "/proc");

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_SANDBOX_PROC_H_
