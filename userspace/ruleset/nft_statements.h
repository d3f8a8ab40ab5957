// SPDX-License-Identifier: Apache-2.0
// The text of statements: expressions that act on a packet, or that match by a state of their own.
#ifndef SANDPIPER_USERSPACE_RULESET_NFT_STATEMENTS_H_
#define SANDPIPER_USERSPACE_RULESET_NFT_STATEMENTS_H_

#include <cstdint>
#include <functional>
#include <string>

#include "userspace/ruleset/nft_value.h"

struct nftnl_expr;

namespace sandpiper {

// The text of the value in a register, in the format of `target`. Empty if the value is not known.
using NftOperand = std::function<std::string(uint32_t number, const NftSubject& target)>;

struct NftStatement {
  std::string text;      // empty for statements that are not reported, as counters
  bool matches = false;  // the rule goes on only for some packets, as after a limit
};

// The use of a stateful object. `name` is its name in quotes, or the map that has the names.
// `type` is NFT_OBJECT_*.
NftStatement FormatNftObject(uint32_t type, const std::string& name);

// Any expression that loads nothing into a register, and is neither a comparison nor a verdict.
// `family` is that of the table (NFPROTO_*).
NftStatement FormatNftStatement(const nftnl_expr* expr, uint32_t family, const NftOperand& operand);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RULESET_NFT_STATEMENTS_H_
