// SPDX-License-Identifier: Apache-2.0
#include "userspace/base/service_manager.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "absl/strings/numbers.h"
#include "userspace/base/fd.h"

namespace sandpiper {
namespace {

std::string Variable(const char* name) {
  const char* const value = getenv(name);
  return value ? value : "";
}

}  // namespace

void NotifyServiceManager(const std::string& state) {
  const std::string path = Variable("NOTIFY_SOCKET");
  sockaddr_un address = {};
  if (path.empty() || path.size() >= sizeof(address.sun_path))
    return;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  if (address.sun_path[0] == '@')
    address.sun_path[0] = '\0';
  const UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sendto(fd.get(), state.data(), state.size(), MSG_NOSIGNAL,
         reinterpret_cast<const sockaddr*>(&address),
         static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size()));
}

uint64_t WatchdogIntervalNs() {
  uint64_t us = 0;
  int pid = 0;
  if (!absl::SimpleAtoi(Variable("WATCHDOG_USEC"), &us))
    return 0;
  // The watchdog is meant for another process of the service.
  if (const std::string of = Variable("WATCHDOG_PID");
      !of.empty() && (!absl::SimpleAtoi(of, &pid) || pid != getpid()))
    return 0;
  return us * 1000 / 2;
}

}  // namespace sandpiper
