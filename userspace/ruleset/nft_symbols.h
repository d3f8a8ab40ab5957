// SPDX-License-Identifier: Apache-2.0
// The names that nft(8) has for numbers, as "echo-request" for ICMP type 8.
#ifndef SANDPIPER_USERSPACE_RULESET_NFT_SYMBOLS_H_
#define SANDPIPER_USERSPACE_RULESET_NFT_SYMBOLS_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace sandpiper {

struct NftSymbol {
  uint64_t value;
  const char* name;
};

// Each table is sorted by value.
extern const std::span<const NftSymbol> kProtocols, kEtherTypes, kNfProtocols, kDevices,
    kPacketTypes, kDays, kDscp, kEcn, kIcmpTypes, kIcmpv6Types, kIgmpTypes, kDccpTypes, kMhTypes,
    kArpOperations, kFibTypes, kCtDirections, kDeviceGroups, kExistence;
// Tables of bits.
extern const std::span<const NftSymbol> kCtStates, kCtStatus, kCtEvents, kTcpFlags;

// Null if the table has no name for the value.
const char* NftSymbolName(std::span<const NftSymbol> table, uint64_t value);

// The names of the bits in `value`, in the order of the bits. Bits without a name are one number.
std::vector<std::string> NftFlagNames(std::span<const NftSymbol> table, uint64_t value);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RULESET_NFT_SYMBOLS_H_
