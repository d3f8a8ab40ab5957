// SPDX-License-Identifier: Apache-2.0
// Tells the service manager, if there is one, how we are: sd_notify(3), one datagram to the socket
// that NOTIFY_SOCKET names.
#ifndef SANDPIPER_USERSPACE_BASE_SERVICE_MANAGER_H_
#define SANDPIPER_USERSPACE_BASE_SERVICE_MANAGER_H_

#include <cstdint>
#include <string>

namespace sandpiper {

// As "READY=1". Nothing happens where nobody listens.
void NotifyServiceManager(const std::string& state);

// How often it wants to hear WATCHDOG=1, so that a collector that hangs is started again
// (sd_watchdog_enabled(3)); half of what it waits. 0: it does not.
uint64_t WatchdogIntervalNs();

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_BASE_SERVICE_MANAGER_H_
