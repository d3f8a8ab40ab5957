// SPDX-License-Identifier: Apache-2.0
// The fields that expressions load into registers.
#ifndef SANDPIPER_USERSPACE_RULESET_NFT_SUBJECTS_H_
#define SANDPIPER_USERSPACE_RULESET_NFT_SUBJECTS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "userspace/ruleset/nft_headers.h"
#include "userspace/ruleset/nft_value.h"

struct nftnl_expr;

namespace sandpiper {

// The headers that earlier conditions of the rule found: "ether"; "ip", "ip6" or "arp"; "tcp" and
// so on. Empty if the rule has no such condition.
struct NftContext {
  std::string link, network, transport;
  bool has_vlan = false;
};

// The bits of a packet's header. `base` is NFT_PAYLOAD_*.
NftSubject NftPayloadSubject(const NftContext& context, uint32_t base, uint32_t offset_bits,
                             uint32_t bits);

// The bits of an extension header or of an option.
NftSubject NftExthdrSubject(const nftnl_expr* expr);

// The same bits of the same header, with the name of their field. `bits.header` must be set.
NftSubject NftFieldSubject(const NftField& field, const NftBits& bits);

// The field that the expression loads into its destination register; nothing if it is of another
// kind.
// Expressions that read registers are not handled here.
std::optional<NftSubject> NftLoadedSubject(const nftnl_expr* expr, const NftContext& context);

// The register that the expression of NftLoadedSubject writes; nothing if it writes none.
std::optional<uint32_t> NftLoadedRegister(const nftnl_expr* expr);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RULESET_NFT_SUBJECTS_H_
