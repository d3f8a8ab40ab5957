// SPDX-License-Identifier: Apache-2.0
// How mDNS (RFC 6762) is recognised.
#ifndef SANDPIPER_USERSPACE_CORRELATE_MULTICAST_DNS_H_
#define SANDPIPER_USERSPACE_CORRELATE_MULTICAST_DNS_H_

#include "userspace/event/event.h"

namespace sandpiper {

// The groups of mDNS are 224.0.0.251 and ff02::fb; programs may choose others.
inline bool IsMulticast(const Address& address) {
  return address.is_ipv4() ? (address.bytes[12] & 0xf0) == 0xe0 : address.bytes[0] == 0xff;
}

inline bool IsMulticastPort(const DnsPayload& payload) {
  constexpr uint16_t kPort = 5353;
  return payload.transport == Transport::kUdp && payload.server.port == kPort;
}

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CORRELATE_MULTICAST_DNS_H_
