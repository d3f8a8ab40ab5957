// SPDX-License-Identifier: Apache-2.0
#include "userspace/correlate/dns_connections.h"

namespace sandpiper {

std::vector<std::string> DnsConnections::OnSegment(const DnsPayload& segment) {
  auto found = connections_.find(segment.cookie);
  if (found == connections_.end()) {
    if (connections_.size() >= connections_max_) {
      ++unread_;
      return {};
    }
    // The first segment carries the start of both directions: its own sequence number, and the
    // peer's as the acknowledgement.
    const uint32_t own = segment.tcp_seq;
    const uint32_t peer = segment.tcp_ack;
    const Connection connection = {.queries = DnsStream(segment.is_query ? own : peer),
                                   .answers = DnsStream(segment.is_query ? peer : own)};
    found = connections_.emplace(segment.cookie, connection).first;
  }
  DnsStream& stream = segment.is_query ? found->second.queries : found->second.answers;
  return stream.Add(segment.tcp_seq, segment.data);
}

}  // namespace sandpiper
