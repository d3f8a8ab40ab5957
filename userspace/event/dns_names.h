// SPDX-License-Identifier: Apache-2.0
// The names of the numbers in DNS messages, as in IANA's registry "Domain Name System Parameters".
#ifndef SANDPIPER_USERSPACE_EVENT_DNS_NAMES_H_
#define SANDPIPER_USERSPACE_EVENT_DNS_NAMES_H_

#include <cstdint>

#include "userspace/base/shared_text.h"

namespace sandpiper {

// "A", "AAAA", …; "TYPE65280" for types without a name (RFC 3597 5).
SharedText DnsTypeName(uint16_t type);
// "IN", "CH", …; "CLASS7" for classes without a name.
SharedText DnsClassName(uint16_t dns_class);
// "QUERY", "UPDATE", …; "OPCODE3" for opcodes without a name.
SharedText DnsOpcodeName(uint8_t opcode);
// "NOERROR", "NXDOMAIN", "BADVERS", …; "RCODE12" for codes without a name. `rcode` has 12 bits: the
// header has the lower four, and EDNS the upper eight (RFC 6891 6.1.3).
SharedText DnsRcodeName(uint16_t rcode);

inline constexpr uint16_t kDnsTypeA = 1;
inline constexpr uint16_t kDnsTypeCname = 5;
inline constexpr uint16_t kDnsTypeMx = 15;
inline constexpr uint16_t kDnsTypeAaaa = 28;
inline constexpr uint16_t kDnsTypeSrv = 33;
inline constexpr uint16_t kDnsTypeOpt = 41;
inline constexpr uint16_t kDnsTypeSvcb = 64;
inline constexpr uint16_t kDnsTypeHttps = 65;
inline constexpr uint16_t kDnsTypeAny = 255;

inline constexpr uint16_t kDnsClassIn = 1;

inline constexpr uint8_t kDnsOpcodeQuery = 0;
inline constexpr uint8_t kDnsOpcodeUpdate = 5;

inline constexpr uint16_t kDnsNoError = 0;
inline constexpr uint16_t kDnsFormErr = 1;
inline constexpr uint16_t kDnsServFail = 2;
inline constexpr uint16_t kDnsNxDomain = 3;
inline constexpr uint16_t kDnsRefused = 5;

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EVENT_DNS_NAMES_H_
