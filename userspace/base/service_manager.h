// SPDX-License-Identifier: Apache-2.0
// Reports the state of the process to the service manager, as sd_notify(3) does: each report is one
// datagram to the socket in NOTIFY_SOCKET.
#ifndef SANDPIPER_USERSPACE_BASE_SERVICE_MANAGER_H_
#define SANDPIPER_USERSPACE_BASE_SERVICE_MANAGER_H_

#include <cstdint>
#include <string>

namespace sandpiper {

// Sends a state such as "READY=1". Does nothing without a service manager.
void NotifyServiceManager(const std::string& state);

// The interval at which to send WATCHDOG=1: half of the service manager's timeout, after which it
// restarts the process (sd_watchdog_enabled(3)). 0 if the watchdog is off.
uint64_t WatchdogIntervalNs();

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_BASE_SERVICE_MANAGER_H_
