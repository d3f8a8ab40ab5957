// SPDX-License-Identifier: Apache-2.0
// The fields of protocol headers, with the names that nft(8) has for them.
#ifndef SANDPIPER_USERSPACE_RULESET_NFT_HEADERS_H_
#define SANDPIPER_USERSPACE_RULESET_NFT_HEADERS_H_

#include <cstdint>
#include <string_view>

#include "userspace/ruleset/nft_value.h"

namespace sandpiper {

struct NftField {
  const char* name;
  uint16_t offset;  // of the first bit
  uint16_t bits;
  NftFormat format = NftFormat::kNumber;
  const std::span<const NftSymbol>* symbols = nullptr;
  bool flags = false;
};

// The field of `header` that has exactly these bits; null if there is none. `header` is "ip",
// "tcp", "tcp option maxseg" and so on.
const NftField* FindNftField(std::string_view header, uint32_t offset, uint32_t bits);

// The field that begins at `offset` and has at most `bits_max` bits; null if there is none.
const NftField* FindNftFieldAt(std::string_view header, uint32_t offset, uint32_t bits_max);

// The address field of which the first `bits` bits begin at `offset`; null if there is none.
const NftField* FindNftAddress(std::string_view header, uint32_t offset, uint32_t bits);

// The name of the transport header of an IP protocol; empty if nft has none.
std::string_view NftTransportHeader(uint8_t protocol);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RULESET_NFT_HEADERS_H_
