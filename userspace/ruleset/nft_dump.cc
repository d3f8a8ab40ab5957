// SPDX-License-Identifier: Apache-2.0
#include "userspace/ruleset/nft_dump.h"

#include <libnftnl/chain.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include <algorithm>
#include <memory>
#include <string_view>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "userspace/ruleset/nft_rule.h"

namespace sandpiper {
namespace {

std::string Text(const char* text) { return text ? text : ""; }

// NFT_TABLE_F_OWNER and NFT_TABLE_F_PERSIST; the headers of the build may lack the second one.
constexpr uint32_t kTableOwner = 2;
constexpr uint32_t kTablePersist = 4;
// NF_NETDEV_EGRESS
constexpr uint32_t kNetdevEgress = 1;

const char* FamilyName(uint32_t family) {
  switch (family) {
    case NFPROTO_INET:
      return "inet";
    case NFPROTO_IPV4:
      return "ip";
    case NFPROTO_IPV6:
      return "ip6";
    case NFPROTO_ARP:
      return "arp";
    case NFPROTO_BRIDGE:
      return "bridge";
    case NFPROTO_NETDEV:
      return "netdev";
    default:
      return "unknown";
  }
}

const char* HookName(uint32_t hook) {
  switch (hook) {
    case NF_INET_PRE_ROUTING:
      return "prerouting";
    case NF_INET_FORWARD:
      return "forward";
    case NF_INET_POST_ROUTING:
      return "postrouting";
    default:
      return "";
  }
}

// Whether packets that leave the namespace pass this hook. Packets of its processes pass output and
// postrouting; packets of a virtual machine in it pass prerouting and forward.
bool IsOutbound(uint32_t family, uint32_t hook) {
  if (family == NFPROTO_NETDEV)
    return hook == kNetdevEgress;
  return (family == NFPROTO_INET || family == NFPROTO_IPV4 || family == NFPROTO_IPV6) &&
         hook != NF_INET_LOCAL_IN && hook <= NF_INET_POST_ROUTING;
}

// The order in which packets of processes pass the hooks, and then those of virtual machines.
uint32_t OrderOf(uint32_t family, uint32_t hook) {
  if (family == NFPROTO_NETDEV)
    return NF_INET_NUMHOOKS + 1;
  return hook == NF_INET_LOCAL_OUT ? 0 : hook + 1;
}

// The devices of a chain of the family netdev, as nft prints them.
std::string DevicesOf(const nftnl_chain* chain) {
  std::vector<std::string> names;
  const auto* list = static_cast<const char* const*>(nftnl_chain_get(chain, NFTNL_CHAIN_DEVICES));
  for (; list && *list; ++list)
    names.push_back(absl::StrCat("\"", *list, "\""));
  // A kernel that knows the list sends a single device as both.
  if (names.empty() && nftnl_chain_is_set(chain, NFTNL_CHAIN_DEV))
    names.push_back(absl::StrCat("\"", Text(nftnl_chain_get_str(chain, NFTNL_CHAIN_DEV)), "\""));
  return names.size() == 1 ? names[0] : absl::StrCat("{ ", absl::StrJoin(names, ", "), " }");
}

}  // namespace

absl::Status NftDump::AddTable(const nlmsghdr* message) {
  const std::unique_ptr<nftnl_table, decltype(&nftnl_table_free)> parsed(nftnl_table_alloc(),
                                                                         nftnl_table_free);
  if (nftnl_table_nlmsg_parse(message, parsed.get()) < 0)
    return absl::DataLossError("cannot parse a table");
  table_flags_[{nftnl_table_get_u32(parsed.get(), NFTNL_TABLE_FAMILY),
                Text(nftnl_table_get_str(parsed.get(), NFTNL_TABLE_NAME))}] =
      nftnl_table_get_u32(parsed.get(), NFTNL_TABLE_FLAGS);
  return absl::OkStatus();
}

bool NftDump::IsDormant(const NftChainKey& chain) const {
  const auto table = table_flags_.find({std::get<0>(chain), std::get<1>(chain)});
  return table != table_flags_.end() && (table->second & NFT_TABLE_F_DORMANT) != 0;
}

absl::Status NftDump::AddChain(const nlmsghdr* message) {
  const std::unique_ptr<nftnl_chain, decltype(&nftnl_chain_free)> parsed(nftnl_chain_alloc(),
                                                                         nftnl_chain_free);
  if (nftnl_chain_nlmsg_parse(message, parsed.get()) < 0)
    return absl::DataLossError("cannot parse a chain");
  const NftChainKey key = {nftnl_chain_get_u32(parsed.get(), NFTNL_CHAIN_FAMILY),
                           Text(nftnl_chain_get_str(parsed.get(), NFTNL_CHAIN_TABLE)),
                           Text(nftnl_chain_get_str(parsed.get(), NFTNL_CHAIN_NAME))};
  NftChain& chain = chains_[key];
  chain.base = nftnl_chain_is_set(parsed.get(), NFTNL_CHAIN_HOOKNUM);
  chain.hook = nftnl_chain_get_u32(parsed.get(), NFTNL_CHAIN_HOOKNUM);
  chain.priority = nftnl_chain_get_s32(parsed.get(), NFTNL_CHAIN_PRIO);
  chain.filter = Text(nftnl_chain_get_str(parsed.get(), NFTNL_CHAIN_TYPE)) == "filter";
  chain.drops = nftnl_chain_is_set(parsed.get(), NFTNL_CHAIN_POLICY) &&
                nftnl_chain_get_u32(parsed.get(), NFTNL_CHAIN_POLICY) == NF_DROP;
  chain.devices = DevicesOf(parsed.get());
  return absl::OkStatus();
}

absl::Status NftDump::AddRule(const nlmsghdr* message) {
  std::unique_ptr<nftnl_rule, NftRuleDeleter> rule(nftnl_rule_alloc());
  if (nftnl_rule_nlmsg_parse(message, rule.get()) < 0)
    return absl::DataLossError("cannot parse a rule");
  const auto chain = chains_.find({nftnl_rule_get_u32(rule.get(), NFTNL_RULE_FAMILY),
                                   Text(nftnl_rule_get_str(rule.get(), NFTNL_RULE_TABLE)),
                                   Text(nftnl_rule_get_str(rule.get(), NFTNL_RULE_CHAIN))});
  if (chain == chains_.end())
    return absl::DataLossError("a rule belongs to an unknown chain");
  chain->second.rules.push_back(std::move(rule));
  return absl::OkStatus();
}

absl::Status NftDump::AddSet(const nlmsghdr* message) {
  const std::unique_ptr<nftnl_set, decltype(&nftnl_set_free)> parsed(nftnl_set_alloc(),
                                                                     nftnl_set_free);
  if (nftnl_set_nlmsg_parse(message, parsed.get()) < 0)
    return absl::DataLossError("cannot parse a set");
  const uint32_t flags = nftnl_set_get_u32(parsed.get(), NFTNL_SET_FLAGS);
  NftSet set = {.name = Text(nftnl_set_get_str(parsed.get(), NFTNL_SET_NAME)),
                .anonymous = (flags & NFT_SET_ANONYMOUS) != 0,
                .interval = (flags & NFT_SET_INTERVAL) != 0,
                .timed = (flags & (NFT_SET_TIMEOUT | NFT_SET_EVAL)) != 0,
                .key_bytes = nftnl_set_get_u32(parsed.get(), NFTNL_SET_KEY_LEN),
                .object_type = nftnl_set_get_u32(parsed.get(), NFTNL_SET_OBJ_TYPE),
                .elements = {}};
  sets_[{nftnl_set_get_u32(parsed.get(), NFTNL_SET_FAMILY),
         Text(nftnl_set_get_str(parsed.get(), NFTNL_SET_TABLE)), set.name}] = std::move(set);
  return absl::OkStatus();
}

absl::Status NftDump::AddElements(const nlmsghdr* message) {
  const std::unique_ptr<nftnl_set, decltype(&nftnl_set_free)> parsed(nftnl_set_alloc(),
                                                                     nftnl_set_free);
  if (nftnl_set_elems_nlmsg_parse(message, parsed.get()) < 0)
    return absl::DataLossError("cannot parse elements of a set");
  const auto found = sets_.find({nftnl_set_get_u32(parsed.get(), NFTNL_SET_FAMILY),
                                 Text(nftnl_set_get_str(parsed.get(), NFTNL_SET_TABLE)),
                                 Text(nftnl_set_get_str(parsed.get(), NFTNL_SET_NAME))});
  if (found == sets_.end())
    return absl::DataLossError("elements belong to an unknown set");
  const auto add = [](nftnl_set_elem* e, void* elements) {
    const auto bytes = [e](uint16_t attribute) {
      uint32_t length = 0;
      const void* data =
          nftnl_set_elem_is_set(e, attribute) ? nftnl_set_elem_get(e, attribute, &length) : nullptr;
      return data ? std::string(static_cast<const char*>(data), length) : "";
    };
    NftElement element = {.key = bytes(NFTNL_SET_ELEM_KEY),
                          .key_end = bytes(NFTNL_SET_ELEM_KEY_END),
                          .chain = "",
                          .data = bytes(NFTNL_SET_ELEM_DATA),
                          .object = ""};
    const uint32_t flags = nftnl_set_elem_is_set(e, NFTNL_SET_ELEM_FLAGS)
                               ? nftnl_set_elem_get_u32(e, NFTNL_SET_ELEM_FLAGS)
                               : 0;
    element.catch_all = (flags & NFT_SET_ELEM_CATCHALL) != 0;
    if (nftnl_set_elem_is_set(e, NFTNL_SET_ELEM_OBJREF))
      element.object = Text(nftnl_set_elem_get_str(e, NFTNL_SET_ELEM_OBJREF));
    element.interval_end = (flags & NFT_SET_ELEM_INTERVAL_END) != 0;
    element.timed = nftnl_set_elem_is_set(e, NFTNL_SET_ELEM_EXPIRATION) ||
                    nftnl_set_elem_is_set(e, NFTNL_SET_ELEM_TIMEOUT);
    element.has_verdict = nftnl_set_elem_is_set(e, NFTNL_SET_ELEM_VERDICT);
    if (element.has_verdict) {
      element.verdict = nftnl_set_elem_get_u32(e, NFTNL_SET_ELEM_VERDICT);
      element.chain = Text(nftnl_set_elem_is_set(e, NFTNL_SET_ELEM_CHAIN)
                               ? nftnl_set_elem_get_str(e, NFTNL_SET_ELEM_CHAIN)
                               : nullptr);
    }
    static_cast<std::vector<NftElement>*>(elements)->push_back(std::move(element));
    return 0;
  };
  nftnl_set_elem_foreach(parsed.get(), add, &found->second.elements);
  return absl::OkStatus();
}

absl::Status NftDump::CheckElements() const {
  for (const auto& [key, set] : sets_) {
    std::vector<std::tuple<std::string_view, std::string_view, bool>> keys;
    for (const NftElement& element : set.elements)
      keys.emplace_back(element.key, element.key_end, element.interval_end);
    std::sort(keys.begin(), keys.end());
    if (std::adjacent_find(keys.begin(), keys.end()) != keys.end())
      return absl::AbortedError("a set grew while it was read");
  }
  return absl::OkStatus();
}

std::vector<TableFlags> NftDump::FlaggedTables() const {
  std::vector<TableFlags> out;
  for (const auto& [key, flags] : table_flags_) {
    if (flags & (NFT_TABLE_F_DORMANT | kTableOwner | kTablePersist))
      out.push_back({.table = absl::StrCat(FamilyName(key.first), " ", key.second),
                     .dormant = (flags & NFT_TABLE_F_DORMANT) != 0,
                     .owned = (flags & kTableOwner) != 0,
                     .persists = (flags & kTablePersist) != 0});
  }
  std::sort(out.begin(), out.end());
  return out;
}

Ruleset NftDump::Flatten(uint32_t generation) const {
  Ruleset out = {.generation = generation, .rules = {}, .tables = FlaggedTables(), .xtables = {}};
  std::vector<std::tuple<uint32_t, int32_t, NftChainKey>> bases;
  for (const auto& [key, chain] : chains_) {
    out.static_count += chain.rules.size();
    if (!chain.base || !IsOutbound(std::get<0>(key), chain.hook))
      continue;
    out.present = true;
    if (!IsDormant(key))
      bases.emplace_back(OrderOf(std::get<0>(key), chain.hook), chain.priority, key);
  }
  std::sort(bases.begin(), bases.end());
  NftFlattener flattener(chains_, sets_, interfaces_, &out);
  for (const auto& [order, priority, key] : bases) {
    const NftChain& chain = chains_.at(key);
    if (std::get<0>(key) == NFPROTO_NETDEV) {
      const std::string hook = absl::StrCat("egress device ", chain.devices);
      flattener.Walk(key, hook);
      if (chain.drops)
        out.rules.push_back({"deny", hook});
      continue;
    }
    out.default_deny |= chain.hook == NF_INET_LOCAL_OUT && chain.filter && chain.drops;
    flattener.Walk(key, HookName(chain.hook));
  }
  for (const auto& [key, set] : sets_) {
    if (set.anonymous)
      continue;  // part of its rule
    out.static_count += CountStatic(set);
  }
  return out;
}

}  // namespace sandpiper
