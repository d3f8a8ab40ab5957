// SPDX-License-Identifier: Apache-2.0
// Processes that were there before we looked, from /proc.
#ifndef SANDPIPER_USERSPACE_SANDBOX_PROC_H_
#define SANDPIPER_USERSPACE_SANDBOX_PROC_H_

#include <sys/types.h>

#include <optional>
#include <string>

#include "userspace/event/event.h"

namespace sandpiper {

// As the process's own exec event would have told it. Start times come in clock ticks only, so
// `process.start_ns` is rounded down to 10 ms: identity of such a process is its pid. Nothing if it
// is gone.
std::optional<Exec> ReadProcess(pid_t pid, const std::string& proc = "/proc");

// The process of that pid and start time, which may be rounded, has not ended.
bool Lives(const ProcessKey& process, const std::string& proc = "/proc");

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_SANDBOX_PROC_H_
