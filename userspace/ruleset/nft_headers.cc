// SPDX-License-Identifier: Apache-2.0
#include "userspace/ruleset/nft_headers.h"

#include <linux/in.h>
#include <linux/in6.h>

#include <span>

namespace sandpiper {
namespace {

using enum NftFormat;

constexpr NftField kEtherFields[] = {{"daddr", 0, 48, kEther},
                                     {"saddr", 48, 48, kEther},
                                     {"type", 96, 16, kHexNumber, &kEtherTypes}};
// The offsets of VLAN fields are from the tag.
constexpr NftField kVlanFields[] = {
    {"pcp", 0, 3}, {"dei", 3, 1}, {"id", 4, 12}, {"type", 16, 16, kHexNumber, &kEtherTypes}};
constexpr NftField kArpFields[] = {{"htype", 0, 16},
                                   {"ptype", 16, 16, kHexNumber, &kEtherTypes},
                                   {"hlen", 32, 8},
                                   {"plen", 40, 8},
                                   {"operation", 48, 16, kNumber, &kArpOperations},
                                   {"saddr ether", 64, 48, kEther},
                                   {"saddr ip", 112, 32, kIpv4},
                                   {"daddr ether", 144, 48, kEther},
                                   {"daddr ip", 192, 32, kIpv4}};
constexpr NftField kIpFields[] = {{"version", 0, 4},
                                  {"hdrlength", 4, 4},
                                  {"dscp", 8, 6, kHexNumber, &kDscp},
                                  {"ecn", 14, 2, kHexNumber, &kEcn},
                                  {"length", 16, 16},
                                  {"id", 32, 16},
                                  {"frag-off", 48, 16},
                                  {"ttl", 64, 8},
                                  {"protocol", 72, 8, kNumber, &kProtocols},
                                  {"checksum", 80, 16},
                                  {"saddr", 96, 32, kIpv4},
                                  {"daddr", 128, 32, kIpv4}};
constexpr NftField kIp6Fields[] = {{"version", 0, 4},
                                   {"dscp", 4, 6, kHexNumber, &kDscp},
                                   {"ecn", 10, 2, kHexNumber, &kEcn},
                                   {"flowlabel", 12, 20},
                                   {"length", 32, 16},
                                   {"nexthdr", 48, 8, kNumber, &kProtocols},
                                   {"hoplimit", 56, 8},
                                   {"saddr", 64, 128, kIpv6},
                                   {"daddr", 192, 128, kIpv6}};
constexpr NftField kIcmpFields[] = {{"type", 0, 8, kNumber, &kIcmpTypes},
                                    {"code", 8, 8},
                                    {"checksum", 16, 16},
                                    {"id", 32, 16},
                                    {"sequence", 48, 16},
                                    {"gateway", 32, 32},
                                    {"mtu", 48, 16}};
constexpr NftField kIcmpv6Fields[] = {{"type", 0, 8, kNumber, &kIcmpv6Types},
                                      {"code", 8, 8},
                                      {"checksum", 16, 16},
                                      {"id", 32, 16},
                                      {"sequence", 48, 16},
                                      {"mtu", 32, 32},
                                      {"max-delay", 32, 16}};
constexpr NftField kIgmpFields[] = {{"type", 0, 8, kNumber, &kIgmpTypes},
                                    {"mrt", 8, 8},
                                    {"checksum", 16, 16},
                                    {"group", 32, 32, kIpv4}};
constexpr NftField kAhFields[] = {{"nexthdr", 0, 8, kNumber, &kProtocols},
                                  {"hdrlength", 8, 8},
                                  {"reserved", 16, 16},
                                  {"spi", 32, 32},
                                  {"sequence", 64, 32}};
constexpr NftField kEspFields[] = {{"spi", 0, 32}, {"sequence", 32, 32}};
constexpr NftField kCompFields[] = {
    {"nexthdr", 0, 8, kNumber, &kProtocols}, {"flags", 8, 8, kHexNumber}, {"cpi", 16, 16}};
constexpr NftField kUdpFields[] = {
    {"sport", 0, 16}, {"dport", 16, 16}, {"length", 32, 16}, {"checksum", 48, 16}};
constexpr NftField kUdpliteFields[] = {
    {"sport", 0, 16}, {"dport", 16, 16}, {"csumcov", 32, 16}, {"checksum", 48, 16}};
constexpr NftField kTcpFields[] = {{"sport", 0, 16},
                                   {"dport", 16, 16},
                                   {"sequence", 32, 32},
                                   {"ackseq", 64, 32},
                                   {"doff", 96, 4},
                                   {"reserved", 100, 4},
                                   {"flags", 104, 8, kHexNumber, &kTcpFlags, true},
                                   {"window", 112, 16},
                                   {"checksum", 128, 16},
                                   {"urgptr", 144, 16}};
constexpr NftField kDccpFields[] = {
    {"sport", 0, 16}, {"dport", 16, 16}, {"type", 67, 4, kNumber, &kDccpTypes}};
constexpr NftField kSctpFields[] = {
    {"sport", 0, 16}, {"dport", 16, 16}, {"vtag", 32, 32}, {"checksum", 64, 32}};
constexpr NftField kThFields[] = {{"sport", 0, 16}, {"dport", 16, 16}};

// Extension headers of IPv6.
constexpr NftField kOptionsFields[] = {{"nexthdr", 0, 8, kNumber, &kProtocols},
                                       {"hdrlength", 8, 8}};
constexpr NftField kRoutingFields[] = {{"nexthdr", 0, 8, kNumber, &kProtocols},
                                       {"hdrlength", 8, 8},
                                       {"type", 16, 8},
                                       {"seg-left", 24, 8}};
constexpr NftField kFragFields[] = {{"nexthdr", 0, 8, kNumber, &kProtocols},
                                    {"reserved", 8, 8},
                                    {"frag-off", 16, 13},
                                    {"reserved2", 29, 2},
                                    {"more-fragments", 31, 1},
                                    {"id", 32, 32}};
constexpr NftField kMhFields[] = {{"nexthdr", 0, 8, kNumber, &kProtocols},
                                  {"hdrlength", 8, 8},
                                  {"type", 16, 8, kNumber, &kMhTypes},
                                  {"reserved", 24, 8},
                                  {"checksum", 32, 16}};
// Options of TCP and IPv4.
constexpr NftField kMaxsegFields[] = {{"length", 8, 8}, {"size", 16, 16}};
constexpr NftField kWindowFields[] = {{"length", 8, 8}, {"count", 16, 8}};
constexpr NftField kLengthFields[] = {{"length", 8, 8}};
constexpr NftField kSackFields[] = {{"length", 8, 8}, {"left", 16, 32}, {"right", 48, 32}};
constexpr NftField kTimestampFields[] = {{"length", 8, 8}, {"tsval", 16, 32}, {"tsecr", 48, 32}};
constexpr NftField kMptcpFields[] = {{"length", 8, 8}, {"subtype", 16, 4}};
constexpr NftField kRouteFields[] = {
    {"type", 0, 8}, {"length", 8, 8}, {"ptr", 16, 8}, {"addr", 24, 32, kIpv4}};
constexpr NftField kAlertFields[] = {{"type", 0, 8}, {"length", 8, 8}, {"value", 16, 16}};

struct Header {
  std::string_view name;
  std::span<const NftField> fields;
};

constexpr Header kHeaders[] = {{"ether", kEtherFields},
                               {"vlan", kVlanFields},
                               {"arp", kArpFields},
                               {"ip", kIpFields},
                               {"ip6", kIp6Fields},
                               {"icmp", kIcmpFields},
                               {"icmpv6", kIcmpv6Fields},
                               {"igmp", kIgmpFields},
                               {"ah", kAhFields},
                               {"esp", kEspFields},
                               {"comp", kCompFields},
                               {"udp", kUdpFields},
                               {"udplite", kUdpliteFields},
                               {"tcp", kTcpFields},
                               {"dccp", kDccpFields},
                               {"sctp", kSctpFields},
                               {"th", kThFields},
                               {"hbh", kOptionsFields},
                               {"dst", kOptionsFields},
                               {"rt", kRoutingFields},
                               {"frag", kFragFields},
                               {"mh", kMhFields},
                               {"tcp option maxseg", kMaxsegFields},
                               {"tcp option window", kWindowFields},
                               {"tcp option sack-perm", kLengthFields},
                               {"tcp option sack", kSackFields},
                               {"tcp option timestamp", kTimestampFields},
                               {"tcp option md5sig", kLengthFields},
                               {"tcp option mptcp", kMptcpFields},
                               {"tcp option fastopen", kLengthFields},
                               {"ip option rr", kRouteFields},
                               {"ip option lsrr", kRouteFields},
                               {"ip option ssrr", kRouteFields},
                               {"ip option ra", kAlertFields}};

std::span<const NftField> FieldsOf(std::string_view header) {
  for (const Header& known : kHeaders) {
    if (known.name == header)
      return known.fields;
  }
  return {};
}

}  // namespace

const NftField* FindNftField(std::string_view header, uint32_t offset, uint32_t bits) {
  for (const NftField& field : FieldsOf(header)) {
    if (field.offset == offset && field.bits == bits)
      return &field;
  }
  return nullptr;
}

const NftField* FindNftFieldAt(std::string_view header, uint32_t offset, uint32_t bits_max) {
  for (const NftField& field : FieldsOf(header)) {
    if (field.offset == offset && field.bits <= bits_max)
      return &field;
  }
  return nullptr;
}

const NftField* FindNftAddress(std::string_view header, uint32_t offset, uint32_t bits) {
  for (const NftField& field : FieldsOf(header)) {
    if (field.offset == offset && field.bits >= bits && bits > 0 && bits % 8 == 0 &&
        (field.format == kIpv4 || field.format == kIpv6))
      return &field;
  }
  return nullptr;
}

std::string_view NftTransportHeader(uint8_t protocol) {
  switch (protocol) {
    case IPPROTO_ICMP:
      return "icmp";
    case IPPROTO_IGMP:
      return "igmp";
    case IPPROTO_TCP:
      return "tcp";
    case IPPROTO_UDP:
      return "udp";
    case IPPROTO_DCCP:
      return "dccp";
    case IPPROTO_ESP:
      return "esp";
    case IPPROTO_AH:
      return "ah";
    case IPPROTO_ICMPV6:
      return "icmpv6";
    case IPPROTO_COMP:
      return "comp";
    case IPPROTO_SCTP:
      return "sctp";
    case IPPROTO_UDPLITE:
      return "udplite";
    default:
      return "";
  }
}

}  // namespace sandpiper
