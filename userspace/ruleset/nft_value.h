// SPDX-License-Identifier: Apache-2.0
// Formats values of nftables registers and set keys as nft(8) prints them.
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

// The field that was loaded into a register, as "ip daddr", "tcp dport" or "meta mark".
struct NftSubject {
  std::string name;
  NftFormat format = NftFormat::kHex;
  uint32_t bytes = 4;
  bool destination = false;  // the destination address of packets
  std::string mask;          // empty, or of the length of the value
};

// `value` has the byte order of the kernel's registers: network order for fields of packets, host
// order for marks and numbers.
std::string FormatNftValue(const NftSubject& subject, std::string_view value);

// Formats the range from `low` to `high`, both included: as one value, as a prefix if it is one,
// else as "low-high".
std::string FormatNftRange(const NftSubject& subject, std::string_view low, std::string_view high);

std::string FormatCtStates(uint32_t bits);

// The value minus one, as a number in network order; wraps around.
std::string Before(std::string value);

// The name of an IP protocol, as "tcp" for 6.
std::string ProtocolName(uint8_t protocol);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RULESET_NFT_VALUE_H_
