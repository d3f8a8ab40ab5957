// SPDX-License-Identifier: Apache-2.0
// Connections that carry lookups nobody sees: DNS over TLS, HTTPS and QUIC.
#ifndef SANDPIPER_USERSPACE_CORRELATE_ENCRYPTED_DNS_H_
#define SANDPIPER_USERSPACE_CORRELATE_ENCRYPTED_DNS_H_

#include <cstdint>
#include <string_view>

#include "userspace/base/address.h"

namespace sandpiper {

// By the port: "dot" (RFC 7858), "doq" (RFC 9250). At the port of HTTPS by who is known to answer
// lookups there: "doh" (RFC 8484), "doh3" over UDP, which is QUIC. Null for all others, and for
// resolvers that are not widely known. `host`: the name under which the address was looked up,
// lower case; may be empty.
const char* EncryptedDns(std::string_view host, const Address& address, uint16_t port,
                         Transport transport);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CORRELATE_ENCRYPTED_DNS_H_
