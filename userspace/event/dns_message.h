// SPDX-License-Identifier: Apache-2.0
// DNS messages as found on the wire (RFC 1035 4). Pure. Every byte is chosen by an adversary: see
// RFC 9267 for what goes wrong elsewhere.
#ifndef SANDPIPER_USERSPACE_EVENT_DNS_MESSAGE_H_
#define SANDPIPER_USERSPACE_EVENT_DNS_MESSAGE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "userspace/base/address.h"
#include "userspace/base/shared_text.h"

namespace sandpiper {

struct DnsAddress {
  SharedText owner;  // presentation form, as DnsMessage::name
  Address address;
  uint32_t ttl_seconds = 0;
};

struct DnsMessage {
  uint16_t id = 0;
  bool is_response = false;
  bool truncated = false;  // the TC bit
  uint8_t rcode = 0;  // 4 bits; the EDNS extension (RFC 6891 6.1.3) is not needed for any outcome

  // The first question; resolvers ask one (RFC 9619). Lower case, no trailing dot, "." for the
  // root. Bytes that are no printable ASCII, dots within a label and backslashes are escaped as RFC
  // 1035 5.1 says (\DDD, \.), so that the text is ASCII and reversible.
  SharedText name;
  uint16_t type = 0;

  // A and AAAA records of the answer section, in order.
  std::vector<DnsAddress> addresses;
  // CNAME targets of the answer section, in order.
  std::vector<SharedText> aliases;
};

// InvalidArgument, naming what is wrong and where, for a message that breaks the rules: pointers
// that do not point strictly backwards, labels past 63 or names past 255 bytes, counts or lengths
// beyond the bytes. `cut`: the capture ends before the message does, so that running out of bytes
// in the records is no error. With the TC bit likewise.
absl::StatusOr<DnsMessage> ParseDns(std::string_view wire, bool cut);

// "A", "AAAA", …; "TYPE65280" for types without a name here (RFC 3597 5).
SharedText DnsTypeName(uint16_t type);
// "NOERROR", "NXDOMAIN", …; "RCODE11" for those without.
SharedText DnsRcodeName(uint8_t rcode);

inline constexpr uint8_t kDnsNoError = 0, kDnsServFail = 2, kDnsNxDomain = 3, kDnsRefused = 5;

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EVENT_DNS_MESSAGE_H_
