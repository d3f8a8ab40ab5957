// SPDX-License-Identifier: Apache-2.0
#include "userspace/ruleset/nft_symbols.h"

#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/netfilter.h>
#include <linux/rtnetlink.h>

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace sandpiper {
namespace {

constexpr NftSymbol kProtocolTable[] = {
    {IPPROTO_ICMP, "icmp"}, {IPPROTO_IGMP, "igmp"}, {IPPROTO_TCP, "tcp"},
    {IPPROTO_UDP, "udp"},   {IPPROTO_DCCP, "dccp"}, {IPPROTO_GRE, "gre"},
    {IPPROTO_ESP, "esp"},   {IPPROTO_AH, "ah"},     {IPPROTO_ICMPV6, "ipv6-icmp"},
    {IPPROTO_COMP, "comp"}, {IPPROTO_SCTP, "sctp"}, {IPPROTO_UDPLITE, "udplite"}};
constexpr NftSymbol kEtherTypeTable[] = {{ETH_P_IP, "ip"},
                                         {ETH_P_ARP, "arp"},
                                         {ETH_P_8021Q, "8021q"},
                                         {ETH_P_IPV6, "ip6"},
                                         {ETH_P_8021AD, "8021ad"}};
constexpr NftSymbol kNfProtocolTable[] = {{NFPROTO_IPV4, "ipv4"}, {NFPROTO_IPV6, "ipv6"}};
constexpr NftSymbol kDeviceTable[] = {{ARPHRD_ETHER, "ether"},       {ARPHRD_PPP, "ppp"},
                                      {ARPHRD_TUNNEL, "ipip"},       {ARPHRD_TUNNEL6, "ipip6"},
                                      {ARPHRD_LOOPBACK, "loopback"}, {ARPHRD_SIT, "sit"},
                                      {ARPHRD_IPGRE, "ipgre"}};
constexpr NftSymbol kPacketTypeTable[] = {
    {0, "host"}, {1, "broadcast"}, {2, "multicast"}, {3, "other"}};
constexpr NftSymbol kDayTable[] = {{0, "\"Sunday\""},    {1, "\"Monday\""},   {2, "\"Tuesday\""},
                                   {3, "\"Wednesday\""}, {4, "\"Thursday\""}, {5, "\"Friday\""},
                                   {6, "\"Saturday\""}};
constexpr NftSymbol kDscpTable[] = {
    {0x00, "cs0"},  {0x01, "lephb"}, {0x08, "cs1"},  {0x0a, "af11"}, {0x0c, "af12"}, {0x0e, "af13"},
    {0x10, "cs2"},  {0x12, "af21"},  {0x14, "af22"}, {0x16, "af23"}, {0x18, "cs3"},  {0x1a, "af31"},
    {0x1c, "af32"}, {0x1e, "af33"},  {0x20, "cs4"},  {0x22, "af41"}, {0x24, "af42"}, {0x26, "af43"},
    {0x28, "cs5"},  {0x2c, "va"},    {0x2e, "ef"},   {0x30, "cs6"},  {0x38, "cs7"}};
constexpr NftSymbol kEcnTable[] = {{0, "not-ect"}, {1, "ect1"}, {2, "ect0"}, {3, "ce"}};
constexpr NftSymbol kIcmpTable[] = {{0, "echo-reply"},           {3, "destination-unreachable"},
                                    {4, "source-quench"},        {5, "redirect"},
                                    {8, "echo-request"},         {9, "router-advertisement"},
                                    {10, "router-solicitation"}, {11, "time-exceeded"},
                                    {12, "parameter-problem"},   {13, "timestamp-request"},
                                    {14, "timestamp-reply"},     {15, "info-request"},
                                    {16, "info-reply"},          {17, "address-mask-request"},
                                    {18, "address-mask-reply"}};
constexpr NftSymbol kIcmpv6Table[] = {
    {1, "destination-unreachable"}, {2, "packet-too-big"},        {3, "time-exceeded"},
    {4, "parameter-problem"},       {128, "echo-request"},        {129, "echo-reply"},
    {130, "mld-listener-query"},    {131, "mld-listener-report"}, {132, "mld-listener-done"},
    {133, "nd-router-solicit"},     {134, "nd-router-advert"},    {135, "nd-neighbor-solicit"},
    {136, "nd-neighbor-advert"},    {137, "nd-redirect"},         {138, "router-renumbering"},
    {141, "ind-neighbor-solicit"},  {142, "ind-neighbor-advert"}, {143, "mld2-listener-report"}};
constexpr NftSymbol kIgmpTable[] = {{0x11, "membership-query"},
                                    {0x12, "membership-report-v1"},
                                    {0x16, "membership-report-v2"},
                                    {0x17, "leave-group"},
                                    {0x22, "membership-report-v3"}};
constexpr NftSymbol kDccpTable[] = {{0, "request"}, {1, "response"}, {2, "data"},  {3, "ack"},
                                    {4, "dataack"}, {5, "closereq"}, {6, "close"}, {7, "reset"},
                                    {8, "sync"},    {9, "syncack"}};
constexpr NftSymbol kMhTable[] = {{0, "binding-refresh-request"},
                                  {1, "home-test-init"},
                                  {2, "careof-test-init"},
                                  {3, "home-test"},
                                  {4, "careof-test"},
                                  {5, "binding-update"},
                                  {6, "binding-acknowledgement"},
                                  {7, "binding-error"},
                                  {8, "fast-binding-update"},
                                  {9, "fast-binding-acknowledgement"},
                                  {10, "fast-binding-advertisement"},
                                  {11, "experimental-mobility-header"},
                                  {12, "home-agent-switch-message"}};
constexpr NftSymbol kArpTable[] = {
    {ARPOP_REQUEST, "request"}, {ARPOP_REPLY, "reply"},         {ARPOP_RREQUEST, "rrequest"},
    {ARPOP_RREPLY, "rreply"},   {ARPOP_InREQUEST, "inrequest"}, {ARPOP_InREPLY, "inreply"},
    {ARPOP_NAK, "nak"}};
constexpr NftSymbol kFibTable[] = {
    {RTN_UNSPEC, "unspec"},       {RTN_UNICAST, "unicast"},         {RTN_LOCAL, "local"},
    {RTN_BROADCAST, "broadcast"}, {RTN_ANYCAST, "anycast"},         {RTN_MULTICAST, "multicast"},
    {RTN_BLACKHOLE, "blackhole"}, {RTN_UNREACHABLE, "unreachable"}, {RTN_PROHIBIT, "prohibit"}};
constexpr NftSymbol kDirectionTable[] = {{0, "original"}, {1, "reply"}};
constexpr NftSymbol kGroupTable[] = {{0, "\"default\""}};
constexpr NftSymbol kExistenceTable[] = {{0, "missing"}, {1, "exists"}};

// NF_CT_STATE_BIT, IPS_* and IPCT_* of include/uapi/linux/netfilter/nf_conntrack_common.h.
constexpr NftSymbol kStateTable[] = {
    {1, "invalid"}, {2, "established"}, {4, "related"}, {8, "new"}, {64, "untracked"}};
constexpr NftSymbol kStatusTable[] = {{0x1, "expected"},  {0x2, "seen-reply"}, {0x4, "assured"},
                                      {0x8, "confirmed"}, {0x10, "snat"},      {0x20, "dnat"},
                                      {0x200, "dying"}};
constexpr NftSymbol kEventTable[] = {{1, "new"},       {2, "related"},  {4, "destroy"},
                                     {8, "reply"},     {16, "assured"}, {32, "protoinfo"},
                                     {64, "helper"},   {128, "mark"},   {256, "seqadj"},
                                     {512, "secmark"}, {1024, "label"}};
constexpr NftSymbol kTcpFlagTable[] = {{0x01, "fin"}, {0x02, "syn"}, {0x04, "rst"}, {0x08, "psh"},
                                       {0x10, "ack"}, {0x20, "urg"}, {0x40, "ecn"}, {0x80, "cwr"}};

}  // namespace

const std::span<const NftSymbol> kProtocols = kProtocolTable, kEtherTypes = kEtherTypeTable,
                                 kNfProtocols = kNfProtocolTable, kDevices = kDeviceTable,
                                 kPacketTypes = kPacketTypeTable, kDays = kDayTable,
                                 kDscp = kDscpTable, kEcn = kEcnTable, kIcmpTypes = kIcmpTable,
                                 kIcmpv6Types = kIcmpv6Table, kIgmpTypes = kIgmpTable,
                                 kDccpTypes = kDccpTable, kMhTypes = kMhTable,
                                 kArpOperations = kArpTable, kFibTypes = kFibTable,
                                 kCtDirections = kDirectionTable, kDeviceGroups = kGroupTable,
                                 kExistence = kExistenceTable, kCtStates = kStateTable,
                                 kCtStatus = kStatusTable, kCtEvents = kEventTable,
                                 kTcpFlags = kTcpFlagTable;

const char* NftSymbolName(std::span<const NftSymbol> table, uint64_t value) {
  const auto found = std::find_if(table.begin(), table.end(),
                                  [&](const NftSymbol& symbol) { return symbol.value == value; });
  return found == table.end() ? nullptr : found->name;
}

std::vector<std::string> NftFlagNames(std::span<const NftSymbol> table, uint64_t value) {
  std::vector<std::string> names;
  for (const NftSymbol& symbol : table) {
    if (value & symbol.value)
      names.emplace_back(symbol.name);
    value &= ~symbol.value;
  }
  if (value != 0 || names.empty())
    names.push_back(absl::StrCat("0x", absl::Hex(value)));
  return names;
}

}  // namespace sandpiper
