// SPDX-License-Identifier: Apache-2.0
#include "userspace/event/dns_answer.h"

#include <algorithm>
#include <string_view>

#include "absl/container/inlined_vector.h"

namespace sandpiper {
namespace {

// Resolvers give up on longer chains of aliases.
constexpr size_t kChainMax = 32;

using Chain = absl::InlinedVector<SharedText, 4>;

// The name of the question, and the names that its aliases lead to.
Chain ChainOf(const DnsMessage& message, const SharedText& name) {
  Chain chain = {name};
  while (chain.size() < kChainMax) {
    const auto next =
        std::find_if(message.aliases.begin(), message.aliases.end(),
                     [&](const DnsAlias& alias) { return alias.owner == chain.back(); });
    if (next == message.aliases.end() ||
        std::find(chain.begin(), chain.end(), next->target) != chain.end())
      break;
    chain.push_back(next->target);
  }
  return chain;
}

bool Contains(const Chain& chain, const SharedText& name) {
  return std::find(chain.begin(), chain.end(), name) != chain.end();
}

bool Fits(uint16_t type, const DnsQuestion& question) {
  return question.type == type || question.type == kDnsTypeAny;
}

bool IsMapped(const DnsAddress& record) {
  return record.type == kDnsTypeAaaa && record.address.is_ipv4();
}

// Removes leading labels that begin with an underscore, unless nothing else is left.
SharedText WithoutServiceLabels(const SharedText& name) {
  const std::string_view text = name;
  size_t begin = 0;
  while (begin < text.size() && text[begin] == '_') {
    size_t dot = begin;
    while (dot < text.size() && text[dot] != '.')
      dot += text[dot] == '\\' ? 2 : 1;  // an escape: the next character is no separator
    begin = dot + 1;
  }
  return begin < text.size() ? name.Tail(begin) : name;
}

void AddService(const DnsMessage& message, const DnsService& service, const SharedText& name,
                std::vector<NamedAddress>* out) {
  for (const Address& hint : service.hints)
    out->push_back({name, hint, service.ttl_seconds});
  const bool is_own_host = service.target == ".";
  const SharedText& host = is_own_host ? service.owner : service.target;
  for (const DnsAddress& record : message.additional) {
    if (record.owner == host && !IsMapped(record))
      out->push_back({is_own_host ? name : host, record.address, record.ttl_seconds});
  }
}

}  // namespace

std::vector<NamedAddress> NamedAddresses(const DnsMessage& message, const DnsQuestion& question) {
  std::vector<NamedAddress> out;
  if (message.rcode != kDnsNoError || question.dns_class != kDnsClassIn)
    return out;
  const Chain chain = ChainOf(message, question.name);
  for (const DnsAddress& record : message.addresses) {
    if (Fits(record.type, question) && !IsMapped(record) && Contains(chain, record.owner))
      out.push_back({question.name, record.address, record.ttl_seconds});
  }
  const SharedText name = WithoutServiceLabels(question.name);
  for (const DnsService& service : message.services) {
    if (Fits(service.type, question) && Contains(chain, service.owner))
      AddService(message, service, name, &out);
  }
  return out;
}

}  // namespace sandpiper
