// SPDX-License-Identifier: Apache-2.0
// The records of DNS lookups.
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "userspace/aggregate/records.h"

namespace sandpiper {
namespace {

const char* ErrorText(DnsOutcome outcome) {
  switch (outcome) {  // no default: the compiler reports an outcome without a case
    case DnsOutcome::kOk:
    case DnsOutcome::kNxDomain:
    case DnsOutcome::kDenied:
    case DnsOutcome::kUnknown:
      return nullptr;
    case DnsOutcome::kTimeout:
      return "timeout";
    case DnsOutcome::kMalformed:
      return "malformed message";
    case DnsOutcome::kServFail:
      return "server failure";
    case DnsOutcome::kRefused:
      return "refused";
    case DnsOutcome::kOther:
      return "server error";
  }
  return nullptr;
}

}  // namespace

LogRecord RecordMaker::Lookup(const sandpiper::Lookup& lookup, const Process* process,
                              int64_t unix_offset) {
  SharedText type = DnsTypeName(lookup.type);
  const bool readable = !lookup.name.empty();
  std::string body = BeginBody("egress outbound ");
  if (readable)
    body.append(lookup.name).append(" ").append(type);
  else
    absl::StrAppend(&body, "malformed query to ", lookup.server.ToString());
  LogRecord record =
      Begin("egress.outbound", Severity::kInfo, std::move(body), lookup.asked_ns, unix_offset);
  if (readable) {
    record.Add("target.host", lookup.name);
    record.Add("dns.question.type", std::move(type));
  } else {
    record.Add("peer", lookup.server.address.ToString());
    record.Add("network.peer.port", int64_t{lookup.server.port});
  }
  AddServer(lookup.server, &record);
  record.Add("dns.queries", int64_t{lookup.queries});
  std::vector<std::string> addresses;
  for (const DnsAddress& answer : lookup.addresses)
    addresses.push_back(answer.address.ToString());
  if (!addresses.empty())
    record.Add("target.ips", std::move(addresses));
  record.Add("egress.outcome", SharedText::FromLiteral(Name(lookup.outcome)));
  if (const char* error = ErrorText(lookup.outcome))
    record.Add("error", SharedText::FromLiteral(error));
  if (lookup.rcode)
    record.Add("dns.response_code", DnsRcodeName(*lookup.rcode));
  record.Add("dns.duration_ms", Milliseconds(lookup.ended_ns - lookup.asked_ns));
  record.Add("network.transport", SharedText::FromLiteral(Name(lookup.transport)));
  record.Add("network.type", SharedText::FromLiteral(NetworkType(lookup.server.address)));
  AddProcess(&record, lookup.process, "", process);
  AddOrigin(&record, lookup.origin);
  return record;
}

}  // namespace sandpiper
