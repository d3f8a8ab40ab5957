// SPDX-License-Identifier: Apache-2.0
// What this host is, beside the probes: each check asks one thing and changes nothing.
#ifndef SANDPIPER_USERSPACE_COMMAND_HOST_CHECKS_H_
#define SANDPIPER_USERSPACE_COMMAND_HOST_CHECKS_H_

#include <string>
#include <vector>

#include "userspace/base/lockdown.h"
#include "userspace/config/config.h"

namespace sandpiper {

// One line of the answer: what it is about, what is in use, and why nothing better is.
struct Finding {
  std::string subject, found;
  std::string state;  // "on", "degraded", "off"
  std::string reason;
};

Finding CheckKernel();
Finding CheckBtf();
// Off where no probe can work.
Finding CheckLockdown(const std::string& file = kLockdownFile);
// `status`: of a process (proc(5)). Off where the probes cannot be loaded.
Finding CheckCapabilities(const std::string& status = "/proc/self/status");
Finding CheckCgroups(const std::string& mountinfo = "/proc/self/mountinfo");
// Whether the kernel says that somebody keeps it right (adjtimex(2)): records carry its time.
Finding CheckClock();
std::vector<Finding> CheckRuntimes(const Config& config);
// Asks each OTLP endpoint to take nothing, which needs its name, its address, TLS and headers to be
// right.
std::vector<Finding> CheckEndpoints(const Config& config);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_COMMAND_HOST_CHECKS_H_
