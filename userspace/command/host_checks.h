// SPDX-License-Identifier: Apache-2.0
// The checks of `sandpiper doctor` that need no probes. Each one inspects one property of the host
// and changes nothing.
#ifndef SANDPIPER_USERSPACE_COMMAND_HOST_CHECKS_H_
#define SANDPIPER_USERSPACE_COMMAND_HOST_CHECKS_H_

#include <string>
#include <vector>

#include "userspace/base/lockdown.h"
#include "userspace/config/config.h"

namespace sandpiper {

// The result of one check.
struct Finding {
  std::string subject;
  std::string found;   // for example the mechanism in use
  std::string state;   // "on", "degraded", "off"
  std::string reason;  // why the state is not "on"
};

Finding CheckKernel();
Finding CheckBtf();
// Off if the lockdown mode prevents all probes.
Finding CheckLockdown(const std::string& file = kLockdownFile);
// `status` is the status file of a process (proc(5)). Off if the probes cannot be loaded.
Finding CheckCapabilities(const std::string& status = "/proc/self/status");
Finding CheckCgroups(const std::string& mountinfo = "/proc/self/mountinfo");
// Degraded if the kernel says that the clock is not synchronized (adjtimex(2)). Records carry its
// time.
Finding CheckClock();
std::vector<Finding> CheckRuntimes(const Config& config);
// Sends an empty request to each OTLP endpoint, to check its name, address, TLS and headers.
std::vector<Finding> CheckEndpoints(const Config& config);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_COMMAND_HOST_CHECKS_H_
