// SPDX-License-Identifier: Apache-2.0
#include "userspace/ruleset/nft_value.h"

#include <arpa/inet.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace sandpiper {
namespace {

std::string Hex(std::string_view value) {
  std::string out = "0x";
  for (const char c : value)
    absl::StrAppend(&out, absl::Hex(static_cast<uint8_t>(c), absl::kZeroPad2));
  return out;
}

uint64_t HostNumber(std::string_view value) {
  uint64_t out = 0;
  std::memcpy(&out, value.data(), std::min(value.size(), sizeof(out)));
  return out;
}

uint64_t NetworkNumber(std::string_view value) {
  uint64_t out = 0;
  for (const char c : value.substr(0, sizeof(out)))
    out = out << 8 | static_cast<uint8_t>(c);
  return out;
}

std::string FormatAddress(int family, std::string_view value) {
  const size_t full = family == AF_INET ? 4 : 16;
  uint8_t bytes[16] = {};
  std::memcpy(bytes, value.data(), std::min(value.size(), full));
  char text[INET6_ADDRSTRLEN] = {};
  inet_ntop(family, bytes, text, sizeof(text));
  // For a prefix of whole bytes nft loads only those bytes.
  return value.size() < full ? absl::StrCat(text, "/", value.size() * 8) : text;
}

// The number of leading ones; -1 if a one follows a zero.
int PrefixLength(std::string_view mask) {
  int ones = 0;
  bool ended = false;
  for (const char c : mask) {
    const auto byte = static_cast<uint8_t>(c);
    const int leading = std::countl_one(byte);
    if ((ended && byte != 0) || (leading < 8 && static_cast<uint8_t>(byte << leading) != 0))
      return -1;
    ones += leading;
    ended |= leading < 8;
  }
  return ones;
}

bool IsAddress(const NftSubject& subject) {
  return subject.format == NftFormat::kIpv4 || subject.format == NftFormat::kIpv6;
}

}  // namespace

std::string FormatCtStates(uint32_t bits) {
  // Bits of NF_CT_STATE_BIT (nf_conntrack_common.h) with their names in nft(8).
  static constexpr std::pair<uint32_t, const char*> kStates[] = {
      {1, "invalid"}, {2, "established"}, {4, "related"}, {8, "new"}, {64, "untracked"}};
  std::vector<std::string> names;
  for (const auto& [bit, name] : kStates) {
    if (bits & bit)
      names.emplace_back(name);
    bits &= ~bit;
  }
  if (bits != 0 || names.empty())
    names.push_back(absl::StrCat("0x", absl::Hex(bits)));
  return absl::StrJoin(names, ",");
}

std::string ProtocolName(uint8_t protocol) {
  switch (protocol) {
    case IPPROTO_ICMP:
      return "icmp";
    case IPPROTO_TCP:
      return "tcp";
    case IPPROTO_UDP:
      return "udp";
    case IPPROTO_ICMPV6:
      return "icmpv6";
    case IPPROTO_SCTP:
      return "sctp";
    default:
      return absl::StrCat(static_cast<int>(protocol));
  }
}

std::string FormatNftValue(const NftSubject& subject, std::string_view value) {
  if (!subject.mask.empty() && subject.mask.size() == value.size()) {
    const int prefix = PrefixLength(subject.mask);
    if (IsAddress(subject) && prefix >= 0)
      return absl::StrCat(
          FormatAddress(subject.format == NftFormat::kIpv4 ? AF_INET : AF_INET6, value), "/",
          prefix);
    return absl::StrCat(Hex(value), " (of ", Hex(subject.mask), ")");
  }
  switch (subject.format) {
    case NftFormat::kIpv4:
      return FormatAddress(AF_INET, value.substr(0, 4));
    case NftFormat::kIpv6:
      return FormatAddress(AF_INET6, value.substr(0, 16));
    case NftFormat::kPort:
      return absl::StrCat(NetworkNumber(value.substr(0, 2)));
    case NftFormat::kName: {
      const std::string_view name = value.substr(0, strnlen(value.data(), value.size()));
      // nft compares a name without its final NUL for "eth*".
      return absl::StrCat("\"", std::string(name),
                          name.size() == value.size() && value.size() < 16 ? "*" : "", "\"");
    }
    case NftFormat::kMark:
      return absl::StrCat("0x", absl::Hex(HostNumber(value), absl::kZeroPad8));
    case NftFormat::kCtState:
      return FormatCtStates(static_cast<uint32_t>(HostNumber(value)));
    case NftFormat::kProtocol:
      return value.empty() ? "" : ProtocolName(static_cast<uint8_t>(value[0]));
    case NftFormat::kNumber:
      return absl::StrCat(HostNumber(value));
    case NftFormat::kNfProto:
      if (HostNumber(value) == AF_INET)
        return "ipv4";
      return HostNumber(value) == AF_INET6 ? "ipv6" : absl::StrCat(HostNumber(value));
    case NftFormat::kEtherType:
    case NftFormat::kHex:
      break;
  }
  return Hex(value);
}

std::string FormatNftRange(const NftSubject& subject, std::string_view low, std::string_view high) {
  if (low == high)
    return FormatNftValue(subject, low);
  if (IsAddress(subject) && low.size() == high.size()) {
    std::string mask(low.size(), '\0');
    for (size_t i = 0; i < low.size(); ++i)
      mask[i] = static_cast<char>(~(low[i] ^ high[i]));
    const int prefix = PrefixLength(mask);
    bool aligned = prefix >= 0;
    for (size_t i = 0; aligned && i < low.size(); ++i)
      aligned = (low[i] & ~mask[i]) == 0;
    if (aligned)
      return absl::StrCat(
          FormatAddress(subject.format == NftFormat::kIpv4 ? AF_INET : AF_INET6, low), "/", prefix);
  }
  return absl::StrCat(FormatNftValue(subject, low), "-", FormatNftValue(subject, high));
}

std::string Before(std::string value) {
  for (auto byte = value.rbegin(); byte != value.rend(); ++byte) {
    *byte = static_cast<char>(static_cast<uint8_t>(*byte) - 1);
    if (static_cast<uint8_t>(*byte) != 0xff)
      break;
  }
  return value;
}

}  // namespace sandpiper
