// SPDX-License-Identifier: Apache-2.0
// The fields that the expressions `meta` and `ct` load: facts about a packet besides its headers.
#ifndef SANDPIPER_USERSPACE_RULESET_NFT_META_H_
#define SANDPIPER_USERSPACE_RULESET_NFT_META_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "userspace/ruleset/nft_value.h"

namespace sandpiper {

// A value in the order of the host, and one in that of the network.
NftSubject NftHostSubject(std::string name, NftFormat format, uint32_t bytes,
                          std::span<const NftSymbol> symbols = {}, bool flags = false);
NftSubject NftNetworkSubject(std::string name, NftFormat format, uint32_t bytes,
                             std::span<const NftSymbol> symbols = {});
// One byte that is 1 if something exists. nft writes the comparison as "exists" or "missing".
NftSubject NftExistenceSubject(std::string name);

// The field of a key of `meta` or `ct`, with its format. `direction`: 0 original, 1 reply.
NftSubject NftMetaSubject(uint32_t key);
NftSubject NftCtSubject(uint32_t key, std::optional<uint8_t> direction);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RULESET_NFT_META_H_
