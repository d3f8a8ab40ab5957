// SPDX-License-Identifier: Apache-2.0
// Values as nftables keeps them in registers and set keys -> text as nft(8) writes it.
#ifndef SANDPIPER_USERSPACE_RULESET_NFT_VALUE_H_
#define SANDPIPER_USERSPACE_RULESET_NFT_VALUE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sandpiper {

enum class NftFormat {
  kHex,
  kIpv4,
  kIpv6,
  kPort,
  kName,
  kMark,
  kCtState,
  kProtocol,
  kNumber,
  kNfProto,
  kEtherType
};

// What was loaded into a register: "ip daddr", "tcp dport", "meta mark".
struct NftSubject {
  std::string name;
  NftFormat format = NftFormat::kHex;
  uint32_t bytes = 4;
  bool destination = false;  // address that packets go to
  std::string mask;          // empty, or as long as the value
};

// `value` in the byte order of the kernel's registers: network order for what comes from packets,
// host order for marks and numbers.
std::string FormatNftValue(const NftSubject& subject, std::string_view value);

// From `low` to `high`, both included: one value, a prefix where it is one, else "low-high".
std::string FormatNftRange(const NftSubject& subject, std::string_view low, std::string_view high);

std::string FormatCtStates(uint32_t bits);

// One less or one more, read as a number in network order; wraps around.
std::string Before(std::string value);

// 6 -> "tcp".
std::string ProtocolName(uint8_t protocol);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RULESET_NFT_VALUE_H_
