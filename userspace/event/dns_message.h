// SPDX-License-Identifier: Apache-2.0
// Parses DNS messages (RFC 1035 4). An adversary may choose every byte: RFC 9267 lists the mistakes
// of other parsers. Pure functions.
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
  SharedText owner;  // name of the resource record, in the form of DnsMessage::name
  Address address;
  uint32_t ttl_seconds = 0;
};

struct DnsMessage {
  uint16_t id = 0;
  bool is_response = false;
  bool truncated = false;  // the TC bit
  uint8_t rcode = 0;       // 4 bits; no outcome needs the EDNS extension (RFC 6891 6.1.3)

  // The name of the question. A query has exactly one (RFC 9619). Lower case, without a trailing
  // dot; the root is ".". RFC 1035 5.1 escapes (\DDD, \.) replace bytes that are not printable
  // ASCII, dots within a label, and backslashes. So the text is ASCII and reversible.
  SharedText name;
  uint16_t type = 0;

  // A and AAAA records of the answer section, in order.
  std::vector<DnsAddress> addresses;
  // CNAME targets of the answer section, in order.
  std::vector<SharedText> aliases;
};

enum class DnsCapture {
  kComplete,
  kCut,  // the message is longer than the captured bytes
};

// Errors name the fault and its byte. InvalidArgument: a compression pointer that does not point
// backwards, a label over 63 or a name over 255 bytes, other than one question, or a record with a
// wrong length. OutOfRange: the bytes end within a field. In the answer records of a cut message,
// or of one with the TC bit, that is no error: the complete records are returned.
absl::StatusOr<DnsMessage> ParseDns(std::string_view wire, DnsCapture capture);

// "A", "AAAA", …; "TYPE65280" for types that have no name here (RFC 3597 5).
SharedText DnsTypeName(uint16_t type);
// "NOERROR", "NXDOMAIN", …; "RCODE11" for codes that have no name here.
SharedText DnsRcodeName(uint8_t rcode);

inline constexpr uint8_t kDnsNoError = 0;
inline constexpr uint8_t kDnsServFail = 2;
inline constexpr uint8_t kDnsNxDomain = 3;
inline constexpr uint8_t kDnsRefused = 5;

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EVENT_DNS_MESSAGE_H_
