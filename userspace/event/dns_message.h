// SPDX-License-Identifier: Apache-2.0
// Parses DNS messages (RFC 1035 4). An adversary may choose every byte: RFC 9267 lists the mistakes
// of other parsers. Pure functions.
#ifndef SANDPIPER_USERSPACE_EVENT_DNS_MESSAGE_H_
#define SANDPIPER_USERSPACE_EVENT_DNS_MESSAGE_H_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "userspace/base/address.h"
#include "userspace/base/shared_text.h"
#include "userspace/event/dns_names.h"

namespace sandpiper {

// All names have the form of DnsQuestion::name.
struct DnsQuestion {
  // Lower case, without a trailing dot; the root is ".". RFC 1035 5.1 escapes (\DDD, \.) replace
  // bytes that are not printable ASCII, dots within a label, and backslashes. So the text is ASCII
  // and reversible.
  SharedText name;
  uint16_t type = 0;
  uint16_t dns_class = kDnsClassIn;
};

// An A or AAAA record.
struct DnsAddress {
  SharedText owner;  // name of the resource record
  Address address;
  uint32_t ttl_seconds = 0;
  uint16_t type = kDnsTypeA;
};

struct DnsAlias {
  SharedText owner;
  SharedText target;
};

// A record that names the host of a service: SRV, MX, SVCB or HTTPS.
struct DnsService {
  SharedText owner;
  uint16_t type = 0;
  SharedText target;           // "." in SVCB and HTTPS: the owner itself
  std::vector<Address> hints;  // ipv4hint and ipv6hint of SVCB and HTTPS (RFC 9460 7.3)
  uint32_t ttl_seconds = 0;
};

struct DnsMessage {
  uint16_t id = 0;
  bool is_response = false;
  bool truncated = false;  // the TC bit
  uint8_t opcode = kDnsOpcodeQuery;
  uint16_t rcode = 0;           // with the upper bits of EDNS, if that record was captured
  bool has_edns = false;        // an OPT record
  uint16_t question_count = 0;  // as in the header; a query has exactly one (RFC 9619)

  // The first question; only mDNS keeps all of them. Empty without a question. For UPDATE it is the
  // zone.
  std::vector<DnsQuestion> questions;

  // Records of class IN, in order. `addresses` also has those that an UPDATE adds.
  std::vector<DnsAddress> addresses;
  std::vector<DnsAlias> aliases;
  std::vector<DnsService> services;
  std::vector<DnsAddress> additional;  // A and AAAA records of the additional section
  // mDNS only: owner and type of every record in the answer section.
  std::vector<DnsQuestion> answered;

  // Bytes of the message up to the last field that could be read.
  size_t bytes = 0;
  bool is_complete = false;  // `bytes` is the whole message
};

enum class DnsCapture {
  kComplete,
  kCut,  // the message is longer than the captured bytes
};

enum class DnsProtocol {
  kUnicast,
  kMulticast,  // mDNS (RFC 6762): the top bit of a class is a flag, and
               // questions are optional
};

// The first question of a query, as far as it can be read; its name is empty if it cannot. For
// messages that ParseDns rejects.
DnsQuestion FirstQuestion(std::string_view wire);

// Errors name the fault and its byte. InvalidArgument: a compression pointer that does not point
// backwards, a label over 63 or a name over 255 bytes, or a record with a wrong length. OutOfRange:
// the bytes end within a field. In the answer records of a cut message, or of one with the TC bit,
// that is no error: the complete records are returned. Resolvers do not read what follows the
// answers, so an error there only ends the reading.
absl::StatusOr<DnsMessage> ParseDns(std::string_view wire, DnsCapture capture,
                                    DnsProtocol protocol = DnsProtocol::kUnicast);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EVENT_DNS_MESSAGE_H_
