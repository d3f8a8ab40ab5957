// SPDX-License-Identifier: Apache-2.0
// The DNS servers that a sandbox was given: those in the resolv.conf that its processes see.
#ifndef SANDPIPER_USERSPACE_SANDBOX_GIVEN_RESOLVERS_H_
#define SANDPIPER_USERSPACE_SANDBOX_GIVEN_RESOLVERS_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "userspace/base/address.h"

namespace sandpiper {

// The addresses of the nameserver lines.
std::vector<Address> ParseResolvConf(std::string_view text);

// A file and the time of its last change. The sandbox can set neither that time nor another one
// back: it is st_ctim.
struct ResolvConf {
  std::string text;
  uint64_t changed_unix_ns = 0;
};
// Reads /etc/resolv.conf as the process would. Empty if it cannot be read.
ResolvConf ReadResolvConf(pid_t pid);

// SandboxSession owns one, and calls it on the event loop only. A file that changed after the
// sandbox began gives no servers: the sandbox itself may have changed it.
class GivenResolvers {
 public:
  using Reader = ResolvConf (*)(pid_t);

  explicit GivenResolvers(uint64_t started_unix_ns, Reader read = ReadResolvConf)
      : started_unix_ns_(started_unix_ns), read_(read) {}

  // True if the resolv.conf of the process names the server. It is read when an unknown server
  // answers, at most once a second for the whole sandbox.
  bool Contains(const Address& server, pid_t pid, pid_t parent_pid, uint64_t now_ns);

 private:
  // True if a file was read. A process that has ended has none.
  bool Read(pid_t pid);

  uint64_t started_unix_ns_;
  Reader read_;
  absl::flat_hash_set<Address> servers_;
  uint64_t next_read_ns_ = 0;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_SANDBOX_GIVEN_RESOLVERS_H_
