// SPDX-License-Identifier: Apache-2.0
// The DNS messages on the TCP connections of one sandbox.
#ifndef SANDPIPER_USERSPACE_CORRELATE_DNS_CONNECTIONS_H_
#define SANDPIPER_USERSPACE_CORRELATE_DNS_CONNECTIONS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "userspace/event/dns_stream.h"
#include "userspace/event/event.h"

namespace sandpiper {

// DnsLookups owns it.
class DnsConnections {
 public:
  // Over `connections_max`, a new connection is not read.
  explicit DnsConnections(size_t connections_max) : connections_max_(connections_max) {}

  // Adds a segment. Returns the messages that are complete now.
  std::vector<std::string> OnSegment(const DnsPayload& segment);
  void OnClose(uint64_t cookie) { connections_.erase(cookie); }

  // Segments that were not read, because of the limit.
  uint64_t unread() const { return unread_; }

 private:
  struct Connection {
    DnsStream queries;
    DnsStream answers;
  };

  size_t connections_max_;
  absl::flat_hash_map<uint64_t, Connection> connections_;  // by socket cookie
  uint64_t unread_ = 0;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CORRELATE_DNS_CONNECTIONS_H_
