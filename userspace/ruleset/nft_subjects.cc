// SPDX-License-Identifier: Apache-2.0
#include "userspace/ruleset/nft_subjects.h"

#include <libnftnl/expr.h>
#include <linux/netfilter/nf_tables.h>

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "userspace/ruleset/nft_expr.h"
#include "userspace/ruleset/nft_meta.h"

namespace sandpiper {
namespace {

using enum NftFormat;

NftSubject RtSubject(uint32_t key) {
  switch (key) {
    case NFT_RT_CLASSID:
      return NftHostSubject("rt classid", kNumber, 4);
    case NFT_RT_NEXTHOP4:
      return NftNetworkSubject("rt ip nexthop", kIpv4, 4);
    case NFT_RT_NEXTHOP6:
      return NftNetworkSubject("rt ip6 nexthop", kIpv6, 16);
    case NFT_RT_TCPMSS:
      return NftHostSubject("rt mtu", kNumber, 2);
    case NFT_RT_XFRM:
      return NftExistenceSubject("rt ipsec");
    default:
      return NftHostSubject(absl::StrCat("rt key ", key), kHex, 4);
  }
}

NftSubject SocketSubject(uint32_t key, uint32_t level) {
  switch (key) {
    case NFT_SOCKET_TRANSPARENT:
      return NftNetworkSubject("socket transparent", kNumber, 1);
    case NFT_SOCKET_MARK:
      return NftHostSubject("socket mark", kHexNumber, 4);
    case NFT_SOCKET_WILDCARD:
      return NftNetworkSubject("socket wildcard", kNumber, 1);
    case NFT_SOCKET_CGROUPV2:
      return NftHostSubject(absl::StrCat("socket cgroupv2 level ", level), kNumber, 8);
    default:
      return NftHostSubject(absl::StrCat("socket key ", key), kHex, 4);
  }
}

NftSubject FibSubject(uint32_t result, uint32_t flags) {
  static constexpr std::pair<uint32_t, const char*> kKeys[] = {{NFTA_FIB_F_SADDR, "saddr"},
                                                               {NFTA_FIB_F_DADDR, "daddr"},
                                                               {NFTA_FIB_F_MARK, "mark"},
                                                               {NFTA_FIB_F_IIF, "iif"},
                                                               {NFTA_FIB_F_OIF, "oif"}};
  std::vector<const char*> keys;
  for (const auto& [flag, name] : kKeys) {
    if (flags & flag)
      keys.push_back(name);
  }
  const std::string name = absl::StrCat("fib ", absl::StrJoin(keys, " . "));
  switch (result) {
    case NFT_FIB_RESULT_OIF:
      if (flags & NFTA_FIB_F_PRESENT)
        return NftExistenceSubject(name + " oif");
      return NftHostSubject(name + " oif", kInterface, 4);
    case NFT_FIB_RESULT_OIFNAME:
      if (flags & NFTA_FIB_F_PRESENT)
        return NftExistenceSubject(name + " oifname");
      return NftNetworkSubject(name + " oifname", kName, 16);
    case NFT_FIB_RESULT_ADDRTYPE:
      return NftHostSubject(name + " type", kNumber, 4, kFibTypes);
    default:
      return NftHostSubject(absl::StrCat(name, " result ", result), kHex, 4);
  }
}

NftSubject NumgenSubject(const nftnl_expr* expr) {
  const uint32_t offset = GetNumber(expr, NFTNL_EXPR_NG_OFFSET);
  return NftHostSubject(
      absl::StrCat("numgen ",
                   GetNumber(expr, NFTNL_EXPR_NG_TYPE) == NFT_NG_RANDOM ? "random" : "inc", " mod ",
                   GetNumber(expr, NFTNL_EXPR_NG_MODULUS),
                   offset ? absl::StrCat(" offset ", offset) : ""),
      kNumber, 4);
}

NftSubject XfrmSubject(uint32_t key, uint8_t direction, uint32_t number) {
  // XFRM_POLICY_IN is 0, XFRM_POLICY_OUT is 1.
  const std::string name = absl::StrCat("ipsec ", direction ? "out" : "in",
                                        number ? absl::StrCat(" spnum ", number) : "");
  switch (key) {
    case NFT_XFRM_KEY_DADDR_IP4:
      return NftNetworkSubject(name + " ip daddr", kIpv4, 4);
    case NFT_XFRM_KEY_DADDR_IP6:
      return NftNetworkSubject(name + " ip6 daddr", kIpv6, 16);
    case NFT_XFRM_KEY_SADDR_IP4:
      return NftNetworkSubject(name + " ip saddr", kIpv4, 4);
    case NFT_XFRM_KEY_SADDR_IP6:
      return NftNetworkSubject(name + " ip6 saddr", kIpv6, 16);
    case NFT_XFRM_KEY_REQID:
      return NftHostSubject(name + " reqid", kNumber, 4);
    case NFT_XFRM_KEY_SPI:
      return NftNetworkSubject(name + " spi", kNumber, 4);
    default:
      return NftHostSubject(absl::StrCat(name, " key ", key), kHex, 4);
  }
}

NftSubject OsfSubject(uint8_t ttl, uint32_t flags) {
  static constexpr const char* kTtl[] = {"", " ttl loose", " ttl skip"};
  return NftNetworkSubject(absl::StrCat("osf", ttl < std::size(kTtl) ? kTtl[ttl] : "",
                                        flags & NFT_OSF_F_VERSION ? " version" : " name"),
                           kName, 16);
}

std::string ExtensionName(uint32_t op, uint32_t type) {
  static constexpr NftSymbol kIpv6[] = {
      {0, "hbh"}, {43, "rt"}, {44, "frag"}, {60, "dst"}, {135, "mh"}};
  static constexpr NftSymbol kTcp[] = {
      {0, "eol"},  {1, "nop"},       {2, "maxseg"},  {3, "window"}, {4, "sack-perm"},
      {5, "sack"}, {8, "timestamp"}, {19, "md5sig"}, {30, "mptcp"}, {34, "fastopen"}};
  static constexpr NftSymbol kIpv4[] = {{7, "rr"}, {131, "lsrr"}, {137, "ssrr"}, {148, "ra"}};
  static constexpr NftSymbol kSctp[] = {
      {0, "data"},         {1, "init"},          {2, "init-ack"},
      {3, "sack"},         {4, "heartbeat"},     {5, "heartbeat-ack"},
      {6, "abort"},        {7, "shutdown"},      {8, "shutdown-ack"},
      {9, "error"},        {10, "cookie-echo"},  {11, "cookie-ack"},
      {12, "ecne"},        {13, "cwr"},          {14, "shutdown-complete"},
      {128, "asconf-ack"}, {192, "forward-tsn"}, {193, "asconf"}};
  struct Kind {
    const char* prefix;
    std::span<const NftSymbol> names;
  };
  static constexpr Kind kKinds[] = {
      {"", kIpv6}, {"tcp option ", kTcp}, {"ip option ", kIpv4}, {"sctp chunk ", kSctp}};
  if (op >= std::size(kKinds))
    return absl::StrCat("exthdr ", op, " ", type);
  const char* name = NftSymbolName(kKinds[op].names, type);
  return absl::StrCat(kKinds[op].prefix, name ? name : absl::StrCat(type));
}

NftSubject RawSubject(std::string name, NftBits bits) {
  return {.name = std::move(name),
          .format = kHex,
          .bytes = (bits.count + 7) / 8,
          .bits = std::move(bits)};
}

}  // namespace

NftSubject NftFieldSubject(const NftField& field, const NftBits& bits) {
  NftSubject subject = {
      .name = absl::StrCat(bits.header, " ", field.name),
      .format = field.format,
      .bytes = (bits.count + 7) / 8,
      .symbols = field.symbols ? *field.symbols : std::span<const NftSymbol>(),
      .flags = field.flags,
      .bits = bits,
  };
  subject.destination = subject.name == "ip daddr" || subject.name == "ip6 daddr";
  return subject;
}

NftSubject NftPayloadSubject(const NftContext& context, uint32_t base, uint32_t offset_bits,
                             uint32_t bits) {
  static constexpr const char* kBases[] = {"ll", "nh", "th"};
  // A VLAN tag follows the two addresses and its own type.
  constexpr uint32_t kVlanOffset = 112;
  NftBits place = {.base = base, .header = "", .offset = offset_bits, .count = bits};
  if (base == NFT_PAYLOAD_LL_HEADER && context.has_vlan && offset_bits >= kVlanOffset)
    place.header = "vlan";
  else if (base == NFT_PAYLOAD_LL_HEADER)
    place.header = context.link;
  else if (base == NFT_PAYLOAD_NETWORK_HEADER)
    place.header = context.network;
  else if (base == NFT_PAYLOAD_TRANSPORT_HEADER)
    place.header = context.transport.empty() ? "th" : context.transport;
  if (place.header == "vlan")
    place.offset -= kVlanOffset;
  const NftField* field = FindNftField(place.header, place.offset, bits);
  if (!field)
    field = FindNftAddress(place.header, place.offset, bits);
  if (field)
    return NftFieldSubject(*field, place);
  return RawSubject(absl::StrCat("@", base < std::size(kBases) ? kBases[base] : "ih", ",",
                                 offset_bits, ",", bits),
                    std::move(place));
}

NftSubject NftExthdrSubject(const nftnl_expr* expr) {
  const uint32_t op = GetNumber(expr, NFTNL_EXPR_EXTHDR_OP);
  const uint8_t type = nftnl_expr_get_u8(expr, NFTNL_EXPR_EXTHDR_TYPE);
  const std::string name = ExtensionName(op, type);
  const bool is_ipv6 = op == NFT_EXTHDR_OP_IPV6;
  if (GetNumber(expr, NFTNL_EXPR_EXTHDR_FLAGS) & NFT_EXTHDR_F_PRESENT)
    return NftExistenceSubject(is_ipv6 ? "exthdr " + name : name);
  const NftBits bits = {.header = name,
                        .offset = GetNumber(expr, NFTNL_EXPR_EXTHDR_OFFSET) * 8,
                        .count = GetNumber(expr, NFTNL_EXPR_EXTHDR_LEN) * 8};
  if (const NftField* field = FindNftField(bits.header, bits.offset, bits.count))
    return NftFieldSubject(*field, bits);
  return RawSubject(absl::StrCat(name, " @", bits.offset, ",", bits.count), bits);
}

std::optional<uint32_t> NftLoadedRegister(const nftnl_expr* expr) {
  static constexpr struct {
    const char* name;
    uint16_t attribute;
  } kRegisters[] = {{"meta", NFTNL_EXPR_META_DREG},     {"ct", NFTNL_EXPR_CT_DREG},
                    {"rt", NFTNL_EXPR_RT_DREG},         {"socket", NFTNL_EXPR_SOCKET_DREG},
                    {"fib", NFTNL_EXPR_FIB_DREG},       {"numgen", NFTNL_EXPR_NG_DREG},
                    {"xfrm", NFTNL_EXPR_XFRM_DREG},     {"osf", NFTNL_EXPR_OSF_DREG},
                    {"tunnel", NFTNL_EXPR_TUNNEL_DREG}, {"payload", NFTNL_EXPR_PAYLOAD_DREG},
                    {"exthdr", NFTNL_EXPR_EXTHDR_DREG}};
  const std::string name = GetText(expr, NFTNL_EXPR_NAME);
  for (const auto& known : kRegisters) {
    if (name == known.name && nftnl_expr_is_set(expr, known.attribute))
      return nftnl_expr_get_u32(expr, known.attribute);
  }
  return std::nullopt;
}

std::optional<NftSubject> NftLoadedSubject(const nftnl_expr* expr, const NftContext& context) {
  const std::string name = GetText(expr, NFTNL_EXPR_NAME);
  if (name == "meta")
    return NftMetaSubject(GetNumber(expr, NFTNL_EXPR_META_KEY));
  if (name == "ct") {
    std::optional<uint8_t> direction;
    if (nftnl_expr_is_set(expr, NFTNL_EXPR_CT_DIR))
      direction = nftnl_expr_get_u8(expr, NFTNL_EXPR_CT_DIR);
    return NftCtSubject(GetNumber(expr, NFTNL_EXPR_CT_KEY), direction);
  }
  if (name == "payload")
    return NftPayloadSubject(context, GetNumber(expr, NFTNL_EXPR_PAYLOAD_BASE),
                             GetNumber(expr, NFTNL_EXPR_PAYLOAD_OFFSET) * 8,
                             GetNumber(expr, NFTNL_EXPR_PAYLOAD_LEN) * 8);
  if (name == "exthdr")
    return NftExthdrSubject(expr);
  if (name == "rt")
    return RtSubject(GetNumber(expr, NFTNL_EXPR_RT_KEY));
  if (name == "socket")
    return SocketSubject(GetNumber(expr, NFTNL_EXPR_SOCKET_KEY),
                         GetNumber(expr, NFTNL_EXPR_SOCKET_LEVEL));
  if (name == "fib")
    return FibSubject(GetNumber(expr, NFTNL_EXPR_FIB_RESULT),
                      GetNumber(expr, NFTNL_EXPR_FIB_FLAGS));
  if (name == "numgen")
    return NumgenSubject(expr);
  if (name == "xfrm")
    return XfrmSubject(GetNumber(expr, NFTNL_EXPR_XFRM_KEY),
                       nftnl_expr_get_u8(expr, NFTNL_EXPR_XFRM_DIR),
                       GetNumber(expr, NFTNL_EXPR_XFRM_SPNUM));
  if (name == "osf")
    return OsfSubject(nftnl_expr_get_u8(expr, NFTNL_EXPR_OSF_TTL),
                      GetNumber(expr, NFTNL_EXPR_OSF_FLAGS));
  if (name == "tunnel")
    return GetNumber(expr, NFTNL_EXPR_TUNNEL_KEY) == NFT_TUNNEL_PATH
               ? NftExistenceSubject("tunnel path")
               : NftHostSubject("tunnel id", kNumber, 4);
  return std::nullopt;
}

}  // namespace sandpiper
