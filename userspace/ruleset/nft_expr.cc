// SPDX-License-Identifier: Apache-2.0
#include "userspace/ruleset/nft_expr.h"

#include <libnftnl/expr.h>

#include "absl/strings/str_cat.h"

namespace sandpiper {

std::string GetBytes(const nftnl_expr* expr, uint16_t attribute) {
  if (!nftnl_expr_is_set(expr, attribute))
    return "";
  uint32_t length = 0;
  const void* data = nftnl_expr_get(expr, attribute, &length);
  return data ? std::string(static_cast<const char*>(data), length) : "";
}

std::string GetText(const nftnl_expr* expr, uint16_t attribute) {
  const char* text = nftnl_expr_get_str(expr, attribute);
  return text ? text : "";
}

uint32_t GetNumber(const nftnl_expr* expr, uint16_t attribute) {
  return nftnl_expr_is_set(expr, attribute) ? nftnl_expr_get_u32(expr, attribute) : 0;
}

uint64_t GetNumber64(const nftnl_expr* expr, uint16_t attribute) {
  return nftnl_expr_is_set(expr, attribute) ? nftnl_expr_get_u64(expr, attribute) : 0;
}

std::string LibnftnlText(const nftnl_expr* expr) {
  char text[512] = {};
  nftnl_expr_snprintf(text, sizeof(text), expr, 0, 0);
  const std::string name = GetText(expr, NFTNL_EXPR_NAME);
  std::string out = text;
  while (!out.empty() && out.back() == ' ')
    out.pop_back();
  return out.starts_with(name) ? out : absl::StrCat(name, out.empty() ? "" : " ", out);
}

}  // namespace sandpiper
