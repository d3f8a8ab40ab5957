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
DnsOutcome OutcomeOfRcode(uint8_t rcode);

struct Lookup {
  Origin origin = 0;
  SharedText name;  // presentation form, see DnsMessage; empty if the question is malformed
  uint16_t type = 0;
  ProcessKey process;
  Endpoint server;  // the last one that was asked, before NAT
  Transport transport = Transport::kUdp;
  uint64_t asked_ns = 0;  // CLOCK_BOOTTIME of the first query
  uint64_t ended_ns = 0;  // CLOCK_BOOTTIME of the answer, or of the timeout
  int queries = 0;
  DnsOutcome outcome = DnsOutcome::kTimeout;
  std::optional<uint8_t> rcode;  // of the answer that counted
  std::vector<DnsAddress> addresses;
  bool redirected = false;
  std::optional<uint64_t> upstream_ns;  // duration of the proxy's upstream query, if it was seen
  // Source of the last denial. Another server may still have answered.
  DenialLayer denied_by = DenialLayer::kNone;
  uint64_t denied_sends = 0;  // UDP queries that netfilter dropped
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CORRELATE_LOOKUP_H_
