// SPDX-License-Identifier: Apache-2.0
// Detects connections that carry encrypted DNS: DNS over TLS, HTTPS and QUIC. The lookups in them
// cannot be read.
#ifndef SANDPIPER_USERSPACE_CORRELATE_ENCRYPTED_DNS_H_
#define SANDPIPER_USERSPACE_CORRELATE_ENCRYPTED_DNS_H_

#include <cstdint>
#include <string_view>

#include "userspace/base/address.h"

namespace sandpiper {

// Port 853 alone decides for "dot" (TCP, RFC 7858) and "doq" (UDP, RFC 9250). On port 443 the host
// or the address must be a widely known resolver: "doh" (TCP, RFC 8484) or "doh3" (UDP, which is
// QUIC). Null for everything else. `host` is the name that the address was looked up by, in lower
// case; it may be empty.
const char* EncryptedDns(std::string_view host, const Address& address, uint16_t port,
                         Transport transport);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CORRELATE_ENCRYPTED_DNS_H_
