// SPDX-License-Identifier: Apache-2.0
#include "userspace/ruleset/nft_meta.h"

#include <linux/netfilter/nf_tables.h>

#include <utility>

#include "absl/strings/str_cat.h"

namespace sandpiper {
namespace {

using enum NftFormat;

// linux/netfilter/nf_tables.h of the build may lack newer keys.
constexpr uint32_t kMetaSdif = 33;
constexpr uint32_t kMetaSdifName = 34;

}  // namespace

NftSubject NftHostSubject(std::string name, NftFormat format, uint32_t bytes,
                          std::span<const NftSymbol> symbols, bool flags) {
  return {.name = std::move(name),
          .format = format,
          .bytes = bytes,
          .order = NftOrder::kHost,
          .symbols = symbols,
          .flags = flags};
}

NftSubject NftNetworkSubject(std::string name, NftFormat format, uint32_t bytes,
                             std::span<const NftSymbol> symbols) {
  return {.name = std::move(name), .format = format, .bytes = bytes, .symbols = symbols};
}

NftSubject NftExistenceSubject(std::string name) {
  return NftNetworkSubject(std::move(name), kNumber, 1, kExistence);
}

NftSubject NftMetaSubject(uint32_t key) {
  switch (key) {
    case NFT_META_LEN:
      return NftHostSubject("meta length", kNumber, 4);
    case NFT_META_PROTOCOL:
      return NftNetworkSubject("meta protocol", kHexNumber, 2, kEtherTypes);
    case NFT_META_PRIORITY:
      return NftHostSubject("meta priority", kHandle, 4);
    case NFT_META_MARK:
      return NftHostSubject("meta mark", kHexNumber, 4);
    case NFT_META_IIF:
      return NftHostSubject("iif", kInterface, 4);
    case NFT_META_OIF:
      return NftHostSubject("oif", kInterface, 4);
    case NFT_META_IIFNAME:
      return NftNetworkSubject("iifname", kName, 16);
    case NFT_META_OIFNAME:
      return NftNetworkSubject("oifname", kName, 16);
    case NFT_META_IIFTYPE:
      return NftHostSubject("meta iiftype", kNumber, 2, kDevices);
    case NFT_META_OIFTYPE:
      return NftHostSubject("meta oiftype", kNumber, 2, kDevices);
    case NFT_META_SKUID:
      return NftHostSubject("meta skuid", kNumber, 4);
    case NFT_META_SKGID:
      return NftHostSubject("meta skgid", kNumber, 4);
    case NFT_META_NFTRACE:
      return NftNetworkSubject("meta nftrace", kNumber, 1);
    case NFT_META_RTCLASSID:
      return NftHostSubject("meta rtclassid", kNumber, 4);
    case NFT_META_SECMARK:
      return NftHostSubject("meta secmark", kNumber, 4);
    case NFT_META_NFPROTO:
      return NftNetworkSubject("meta nfproto", kNumber, 1, kNfProtocols);
    case NFT_META_L4PROTO:
      return NftNetworkSubject("meta l4proto", kNumber, 1, kProtocols);
    case NFT_META_BRI_IIFNAME:
      return NftNetworkSubject("meta ibrname", kName, 16);
    case NFT_META_BRI_OIFNAME:
      return NftNetworkSubject("meta obrname", kName, 16);
    case NFT_META_PKTTYPE:
      return NftNetworkSubject("meta pkttype", kNumber, 1, kPacketTypes);
    case NFT_META_CPU:
      return NftHostSubject("meta cpu", kNumber, 4);
    case NFT_META_IIFGROUP:
      return NftHostSubject("iifgroup", kNumber, 4, kDeviceGroups);
    case NFT_META_OIFGROUP:
      return NftHostSubject("oifgroup", kNumber, 4, kDeviceGroups);
    case NFT_META_CGROUP:
      return NftHostSubject("meta cgroup", kNumber, 4);
    case NFT_META_PRANDOM:
      return NftNetworkSubject("meta random", kNumber, 4);
    case NFT_META_SECPATH:
      return NftExistenceSubject("meta ipsec");
    case NFT_META_IIFKIND:
      return NftNetworkSubject("meta iifkind", kName, 16);
    case NFT_META_OIFKIND:
      return NftNetworkSubject("meta oifkind", kName, 16);
    case NFT_META_BRI_IIFPVID:
      return NftHostSubject("meta ibrpvid", kNumber, 2);
    case NFT_META_BRI_IIFVPROTO:
      return NftNetworkSubject("meta ibrvproto", kHexNumber, 2, kEtherTypes);
    case NFT_META_TIME_NS:
      return NftHostSubject("meta time", kTime, 8);
    case NFT_META_TIME_DAY:
      return NftNetworkSubject("meta day", kNumber, 1, kDays);
    case NFT_META_TIME_HOUR:
      return NftHostSubject("meta hour", kHour, 4);
    case kMetaSdif:
      return NftHostSubject("meta sdif", kInterface, 4);
    case kMetaSdifName:
      return NftNetworkSubject("meta sdifname", kName, 16);
    default:
      return NftHostSubject(absl::StrCat("meta key ", key), kHex, 4);
  }
}

NftSubject NftCtSubject(uint32_t key, std::optional<uint8_t> direction) {
  std::string way = "ct ";
  // nft does not print the direction of these two: it is always the original one.
  if (direction && key != NFT_CT_PROTOCOL && key != NFT_CT_L3PROTOCOL)
    way = *direction == 0 ? "ct original " : "ct reply ";
  switch (key) {
    case NFT_CT_STATE:
      return NftHostSubject(way + "state", kHexNumber, 4, kCtStates, true);
    case NFT_CT_DIRECTION:
      return NftNetworkSubject(way + "direction", kNumber, 1, kCtDirections);
    case NFT_CT_STATUS:
      return NftHostSubject(way + "status", kHexNumber, 4, kCtStatus, true);
    case NFT_CT_MARK:
      return NftHostSubject(way + "mark", kHexNumber, 4);
    case NFT_CT_SECMARK:
      return NftHostSubject(way + "secmark", kNumber, 4);
    case NFT_CT_EXPIRATION:
      return NftHostSubject(way + "expiration", kDuration, 4);
    case NFT_CT_HELPER:
      return NftNetworkSubject(way + "helper", kName, 16);
    case NFT_CT_L3PROTOCOL:
      return NftNetworkSubject(way + "l3proto", kNumber, 1, kNfProtocols);
    case NFT_CT_SRC:
      return NftNetworkSubject(way + "saddr", kHex, 16);
    case NFT_CT_DST:
      return NftNetworkSubject(way + "daddr", kHex, 16);
    case NFT_CT_PROTOCOL:
      return NftNetworkSubject(way + "protocol", kNumber, 1, kProtocols);
    case NFT_CT_PROTO_SRC:
      return NftNetworkSubject(way + "proto-src", kNumber, 2);
    case NFT_CT_PROTO_DST:
      return NftNetworkSubject(way + "proto-dst", kNumber, 2);
    case NFT_CT_LABELS:
      return NftHostSubject(way + "label", kBits, 16);
    case NFT_CT_PKTS:
      return NftHostSubject(way + "packets", kNumber, 8);
    case NFT_CT_BYTES:
      return NftHostSubject(way + "bytes", kNumber, 8);
    case NFT_CT_AVGPKT:
      return NftHostSubject(way + "avgpkt", kNumber, 8);
    case NFT_CT_ZONE:
      return NftHostSubject(way + "zone", kNumber, 2);
    case NFT_CT_EVENTMASK:
      return NftHostSubject(way + "event", kHexNumber, 4, kCtEvents, true);
    case NFT_CT_SRC_IP:
      return NftNetworkSubject(way + "ip saddr", kIpv4, 4);
    case NFT_CT_DST_IP:
      return NftNetworkSubject(way + "ip daddr", kIpv4, 4);
    case NFT_CT_SRC_IP6:
      return NftNetworkSubject(way + "ip6 saddr", kIpv6, 16);
    case NFT_CT_DST_IP6:
      return NftNetworkSubject(way + "ip6 daddr", kIpv6, 16);
    case NFT_CT_ID:
      return NftNetworkSubject(way + "id", kNumber, 4);
    default:
      return NftHostSubject(absl::StrCat(way, "key ", key), kHex, 4);
  }
}

}  // namespace sandpiper
