// SPDX-License-Identifier: Apache-2.0
#include "userspace/ruleset/nft_header_tracker.h"

#include <linux/netfilter.h>

#include <algorithm>
#include <initializer_list>
#include <string_view>

namespace sandpiper {

NftHeaderTracker::NftHeaderTracker(uint32_t family) : family_(family) {
  if (family == NFPROTO_IPV4)
    context_.network = "ip";
  else if (family == NFPROTO_IPV6)
    context_.network = "ip6";
  else if (family == NFPROTO_ARP)
    context_.network = "arp";
  else if (family == NFPROTO_BRIDGE || family == NFPROTO_NETDEV)
    context_.link = "ether";
}

void NftHeaderTracker::Imply(const NftSubject& subject, std::vector<NftTerm>* terms) const {
  const std::string_view field = subject.name;
  const auto imply = [terms](std::optional<size_t> condition) {
    if (condition)
      (*terms)[*condition].implied = true;
  };
  const auto begins_with = [&](std::string_view header) {
    return !header.empty() && field.size() > header.size() && field.starts_with(header) &&
           field[header.size()] == ' ';
  };
  // Not of facts about the route, as "rt mtu".
  const auto is_extension = [&](std::initializer_list<std::string_view> headers) {
    return begins_with("exthdr") ||
           (subject.bits && std::any_of(headers.begin(), headers.end(), begins_with));
  };
  const bool is_transport = begins_with(context_.transport);
  const bool needs_ip = context_.network == "ip" && is_transport && context_.transport == "icmp";
  const bool needs_ip6 =
      context_.network == "ip6" && ((is_transport && context_.transport == "icmpv6") ||
                                    is_extension({"hbh", "rt", "frag", "dst", "mh"}));
  if (is_transport)
    imply(transport_condition_);
  if (begins_with(context_.network) || needs_ip || needs_ip6)
    imply(network_condition_);
  if (begins_with(context_.link) || begins_with("vlan"))
    imply(link_condition_);
  if (begins_with("vlan"))
    imply(vlan_condition_);
}

void NftHeaderTracker::Note(const NftSubject& subject, const std::string& data, size_t term) {
  const auto number = static_cast<uint8_t>(data.empty() ? '\0' : data[0]);
  const bool is_ip_protocol = subject.name == "ip protocol" || subject.name == "ip6 nexthdr";
  if (subject.name == "meta l4proto" || is_ip_protocol) {
    context_.transport = NftTransportHeader(number);
    // In other families a port does not include that the packet is IPv4. And `ip6 nexthdr` is
    // only the first header.
    transport_condition_ =
        !is_ip_protocol || family_ == NFPROTO_IPV4 ? std::optional(term) : std::nullopt;
  } else if (subject.name == "icmp type") {
    is_icmp_unreachable_ = FormatNftValue(subject, data) == "destination-unreachable";
  } else if (subject.name == "meta nfproto") {
    context_.network = number == NFPROTO_IPV4 ? "ip" : "ip6";
    network_condition_ = term;
  } else if (subject.name == "meta iiftype" || subject.name == "meta oiftype") {
    context_.link = FormatNftValue(subject, data) == "ether" ? "ether" : "";
    link_condition_ = term;
  } else if (subject.name == "meta protocol" || subject.name == "ether type" ||
             subject.name == "vlan type") {
    const std::string type = FormatNftValue(subject, data);
    if (type == "8021q" || type == "8021ad") {
      context_.has_vlan = true;
      vlan_condition_ = term;
      return;
    }
    context_.network = type == "ip" || type == "ip6" || type == "arp" ? type : "";
    network_condition_ = term;
  }
}

}  // namespace sandpiper
