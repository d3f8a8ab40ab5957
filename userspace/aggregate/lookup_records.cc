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

// The reason why a lookup failed, by both legs where a server within the sandbox answered it. Empty
// if it did not fail.
std::string ErrorOf(const Lookup& lookup) {
  const char* const text = ErrorText(lookup.outcome);
  if (!text)
    return "";
  if (lookup.outcome == DnsOutcome::kMalformed)
    return text;
  if (!lookup.upstream)
    return lookup.local_server && lookup.outcome != DnsOutcome::kTimeout ? "no upstream" : text;
  if (!lookup.upstream->rcode)
    return "upstream timeout";
  const char* const upstream = ErrorText(OutcomeOfRcode(*lookup.upstream->rcode));
  return upstream ? absl::StrCat("upstream ", upstream) : text;
}

std::string BodyOf(const Lookup& lookup) {
  std::string body = RecordBuilder::BeginBody("egress outbound ");
  if (lookup.purpose == DnsPurpose::kAnnouncement)
    body += "DNS announcement ";
  else if (lookup.purpose == DnsPurpose::kRequest)
    body.append("DNS ").append(DnsOpcodeName(lookup.opcode)).append(" ");
  if (!lookup.name.empty()) {
    body.append(lookup.name);
    if (lookup.purpose == DnsPurpose::kLookup)
      body.append(" ").append(DnsTypeName(lookup.type));
    return body;
  }
  if (lookup.purpose == DnsPurpose::kLookup)
    body += "malformed query ";
  absl::StrAppend(&body, "to ", lookup.server.ToString());
  return body;
}

void AddQuestion(const Lookup& lookup, LogRecord* record) {
  if (!lookup.name.empty()) {
    record->Add("target.host", lookup.name);
  } else if (lookup.purpose == DnsPurpose::kLookup) {
    record->Add("peer", lookup.server.address.ToString());
    record->Add("network.peer.port", int64_t{lookup.server.port});
  }
  if (lookup.purpose == DnsPurpose::kAnnouncement)
    record->Add("dns.announcement", true);
  if (lookup.purpose != DnsPurpose::kLookup) {
    record->Add("dns.opcode", DnsOpcodeName(lookup.opcode));
    return;
  }
  if (lookup.name.empty())
    return;
  record->Add("dns.question.type", DnsTypeName(lookup.type));
  if (lookup.dns_class != kDnsClassIn)
    record->Add("dns.question.class", DnsClassName(lookup.dns_class));
  if (lookup.question_count != 1)
    record->Add("dns.question.count", int64_t{lookup.question_count});
}

void AddAddresses(const Lookup& lookup, LogRecord* record) {
  std::vector<std::string> addresses;
  for (const DnsAddress& answer : lookup.addresses)
    addresses.push_back(answer.address.ToString());
  if (!addresses.empty())
    record->Add("target.ips", std::move(addresses));
  std::vector<std::string> hints;
  for (const Address& hint : lookup.hints)
    hints.push_back(hint.ToString());
  if (!hints.empty())
    record->Add("dns.address_hints", std::move(hints));
}

void AddUpstream(const UpstreamLeg& leg, LogRecord* record) {
  record->Add("dns.upstream.server", leg.server.ToString());
  if (leg.rcode)
    record->Add("dns.upstream.response_code", DnsRcodeName(*leg.rcode));
}

}  // namespace

LogRecord RecordMaker::Lookup(const sandpiper::Lookup& lookup, const Process* process,
                              int64_t unix_offset) {
  LogRecord record =
      Begin("egress.outbound", Severity::kInfo, BodyOf(lookup), lookup.asked_ns, unix_offset);
  AddQuestion(lookup, &record);
  AddServer(lookup.server, &record);
  record.Add("dns.queries", int64_t{lookup.queries});
  AddAddresses(lookup, &record);
  record.Add("egress.outcome", SharedText::FromLiteral(Name(lookup.outcome)));
  if (std::string error = ErrorOf(lookup); !error.empty())
    record.Add("error", std::move(error));
  if (lookup.rcode)
    record.Add("dns.response_code", DnsRcodeName(*lookup.rcode));
  if (lookup.upstream)
    AddUpstream(*lookup.upstream, &record);
  if (lookup.trailing_bytes > 0)
    record.Add("dns.trailing_bytes", static_cast<int64_t>(lookup.trailing_bytes));
  record.Add("dns.duration_ms", Milliseconds(lookup.ended_ns - lookup.asked_ns));
  record.Add("network.transport", SharedText::FromLiteral(Name(lookup.transport)));
  record.Add("network.type", SharedText::FromLiteral(NetworkType(lookup.server.address)));
  AddProcess(&record, lookup.process, "", process);
  AddOrigin(&record, lookup.origin);
  return record;
}

}  // namespace sandpiper
