// SPDX-License-Identifier: Apache-2.0
// Which addresses of an answer a program may use, and by which name it knows them.
#ifndef SANDPIPER_USERSPACE_EVENT_DNS_ANSWER_H_
#define SANDPIPER_USERSPACE_EVENT_DNS_ANSWER_H_

#include <cstdint>
#include <vector>

#include "userspace/event/dns_message.h"

namespace sandpiper {

struct NamedAddress {
  SharedText name;
  Address address;
  uint32_t ttl_seconds = 0;
};

// The addresses that a resolver accepts as the answer to `question`. A server can put any record
// into an answer, so all others are left out:
//  - A and AAAA records count if the question asked for their type, and if their owner is the
//    name of the question or in its chain of aliases.
//  - Address hints of HTTPS and SVCB records count under the name of the question, without its
//    service labels: "_8443._https.a.test" is "a.test". The target is no name for them: whoever
//    owns the zone of the question could write any name there.
//  - Addresses in the additional section count for the host that an SRV, MX, SVCB or HTTPS record
//    of the answer names.
// IPv4-mapped addresses in AAAA records are left out, as is every answer with an error.
std::vector<NamedAddress> NamedAddresses(const DnsMessage& message, const DnsQuestion& question);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EVENT_DNS_ANSWER_H_
