// SPDX-License-Identifier: Apache-2.0
// Attributes of expressions, as libnftnl has parsed them.
#ifndef SANDPIPER_USERSPACE_RULESET_NFT_EXPR_H_
#define SANDPIPER_USERSPACE_RULESET_NFT_EXPR_H_

#include <cstdint>
#include <string>

struct nftnl_expr;

namespace sandpiper {

// Each returns an empty text or 0 if the expression does not have the attribute.
std::string GetBytes(const nftnl_expr* expr, uint16_t attribute);
std::string GetText(const nftnl_expr* expr, uint16_t attribute);
uint32_t GetNumber(const nftnl_expr* expr, uint16_t attribute);
uint64_t GetNumber64(const nftnl_expr* expr, uint16_t attribute);

// The text of libnftnl, for expressions without a text here.
std::string LibnftnlText(const nftnl_expr* expr);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RULESET_NFT_EXPR_H_
