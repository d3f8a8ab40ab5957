// SPDX-License-Identifier: Apache-2.0
// One DNS lookup of a sandbox: a question (name and type), and the answer that counted.
#ifndef SANDPIPER_USERSPACE_CORRELATE_LOOKUP_H_
#define SANDPIPER_USERSPACE_CORRELATE_LOOKUP_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "userspace/correlate/denial.h"
#include "userspace/event/dns_message.h"
#include "userspace/event/event.h"

namespace sandpiper {

// The `outcome` attribute of sandbox.dns.queries.
enum class DnsOutcome {
  kOk,
  kNxDomain,
  kDenied,
  kServFail,
  kRefused,
  kTimeout,
  kMalformed,
  kOther,
  kUnknown
};
inline constexpr int kDnsOutcomeCount = 9;
const char* Name(DnsOutcome outcome);
DnsOutcome OutcomeOfRcode(uint16_t rcode);

// Only a lookup asks for a name. The others are recorded, but are not counted as lookups.
enum class DnsPurpose {
  kLookup,
  kRequest,       // another opcode, as UPDATE; or a query without a question (RFC 7873 5.4)
  kAnnouncement,  // a response that the sandbox sent on its own, by mDNS
};

// The query that a DNS server within the sandbox sent to answer a lookup.
struct UpstreamLeg {
  Endpoint server;  // the last one that it asked
  // Of the answer of that server; none while it has not answered.
  std::optional<uint16_t> rcode;
  std::optional<uint64_t> duration_ns;  // of the last query that was answered
};

struct Lookup {
  Origin origin = 0;
  DnsPurpose purpose = DnsPurpose::kLookup;
  uint8_t opcode = kDnsOpcodeQuery;
  // Empty if the question could not be read, or if there was none. For UPDATE the zone.
  SharedText name;
  uint16_t type = 0;
  uint16_t dns_class = kDnsClassIn;
  uint16_t question_count = 1;  // of the query; the name is that of the first one
  ProcessKey process;
  Endpoint server;  // the last one that was asked, before NAT
  Transport transport = Transport::kUdp;
  uint64_t asked_ns = 0;  // CLOCK_BOOTTIME of the first query
  uint64_t ended_ns = 0;  // CLOCK_BOOTTIME of the answer, or of the timeout
  int queries = 0;
  uint64_t trailing_bytes = 0;  // behind the messages of the lookup, in the same datagrams
  DnsOutcome outcome = DnsOutcome::kTimeout;
  std::optional<uint16_t> rcode;      // of the answer that counted
  std::vector<DnsAddress> addresses;  // in its answer section, or that an UPDATE or mDNS writes
  std::vector<Address> hints;         // in its HTTPS and SVCB records
  bool redirected = false;
  bool local_server = false;  // the server that answered is part of the sandbox
  std::optional<UpstreamLeg> upstream;
  // Source of the last denial. Another server may still have answered.
  DenialLayer denied_by = DenialLayer::kNone;
  uint64_t denied_sends = 0;  // UDP queries that netfilter dropped
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CORRELATE_LOOKUP_H_
