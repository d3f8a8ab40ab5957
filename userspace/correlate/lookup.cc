// SPDX-License-Identifier: Apache-2.0
#include "userspace/correlate/lookup.h"

namespace sandpiper {

const char* Name(DnsOutcome outcome) {
  static constexpr const char* kNames[kDnsOutcomeCount] = {"ok",        "nxdomain", "denied",
                                                           "servfail",  "refused",  "timeout",
                                                           "malformed", "other",    "unknown"};
  return kNames[static_cast<int>(outcome)];
}

DnsOutcome OutcomeOfRcode(uint16_t rcode) {
  switch (rcode) {
    case kDnsNoError:
      return DnsOutcome::kOk;
    case kDnsNxDomain:
      return DnsOutcome::kNxDomain;
    case kDnsServFail:
      return DnsOutcome::kServFail;
    case kDnsRefused:
      return DnsOutcome::kRefused;
    default:
      return DnsOutcome::kOther;
  }
}

}  // namespace sandpiper
