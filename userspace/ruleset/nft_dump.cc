// SPDX-License-Identifier: Apache-2.0
#include "userspace/ruleset/nft_dump.h"

#include <libnftnl/chain.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include <algorithm>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "userspace/ruleset/nft_rule.h"

namespace sandpiper {
namespace {

// The kernel follows no more jumps (NFT_JUMP_STACK_SIZE).
constexpr int kJumpsMax = 16;

std::string Text(const char* text) { return text ? text : ""; }

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
  return (family == NFPROTO_INET || family == NFPROTO_IPV4 || family == NFPROTO_IPV6) &&
         hook != NF_INET_LOCAL_IN && hook <= NF_INET_POST_ROUTING;
}

}  // namespace

void NftDump::RuleDeleter::operator()(nftnl_rule* rule) const { nftnl_rule_free(rule); }

absl::Status NftDump::AddChain(const nlmsghdr* message) {
  const std::unique_ptr<nftnl_chain, decltype(&nftnl_chain_free)> parsed(nftnl_chain_alloc(),
                                                                         nftnl_chain_free);
  if (nftnl_chain_nlmsg_parse(message, parsed.get()) < 0)
    return absl::DataLossError("cannot parse a chain");
  const ChainKey key = {nftnl_chain_get_u32(parsed.get(), NFTNL_CHAIN_FAMILY),
                        Text(nftnl_chain_get_str(parsed.get(), NFTNL_CHAIN_TABLE)),
                        Text(nftnl_chain_get_str(parsed.get(), NFTNL_CHAIN_NAME))};
  Chain& chain = chains_[key];
  chain.name = std::get<2>(key);
  chain.base = nftnl_chain_is_set(parsed.get(), NFTNL_CHAIN_HOOKNUM);
  chain.hook = nftnl_chain_get_u32(parsed.get(), NFTNL_CHAIN_HOOKNUM);
  chain.priority = nftnl_chain_get_s32(parsed.get(), NFTNL_CHAIN_PRIO);
  chain.filter = Text(nftnl_chain_get_str(parsed.get(), NFTNL_CHAIN_TYPE)) == "filter";
  chain.drops = nftnl_chain_is_set(parsed.get(), NFTNL_CHAIN_POLICY) &&
                nftnl_chain_get_u32(parsed.get(), NFTNL_CHAIN_POLICY) == NF_DROP;
  return absl::OkStatus();
}

absl::Status NftDump::AddRule(const nlmsghdr* message) {
  std::unique_ptr<nftnl_rule, RuleDeleter> rule(nftnl_rule_alloc());
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
    NftElement element = {
        .key = bytes(NFTNL_SET_ELEM_KEY), .key_end = bytes(NFTNL_SET_ELEM_KEY_END), .chain = ""};
    const uint32_t flags = nftnl_set_elem_is_set(e, NFTNL_SET_ELEM_FLAGS)
                               ? nftnl_set_elem_get_u32(e, NFTNL_SET_ELEM_FLAGS)
                               : 0;
    if (flags & NFT_SET_ELEM_CATCHALL)
      return 0;
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

// Follows the chains as a packet does, and collects the conditions on the way.
class NftDump::Flattener {
 public:
  Flattener(const NftDump& dump, Ruleset* out) : dump_(dump), out_(out) {}

  void Walk(const ChainKey& key, const std::string& hook) {
    if (!hook.empty())
      conditions_.push_back({hook, ""});
    Follow(key, 0);
    conditions_.clear();
  }

 private:
  struct Condition {
    std::string text;
    std::string destination;  // the value alone, if the condition is on the destination address
  };

  void Follow(const ChainKey& key, int depth) {
    const auto chain = dump_.chains_.find(key);
    if (chain == dump_.chains_.end() || depth > kJumpsMax) {
      Emit("other", absl::StrCat("goes to ", std::get<2>(key)));
      return;
    }
    for (const auto& rule : chain->second.rules) {
      // The kernel rejects loops of jumps, but not trees, which can be exponential. This bounds the
      // work as well as the result.
      if (++walked_ > kRulesMax * 2) {
        ++out_->rules_omitted;
        continue;
      }
      const NftRule decoded =
          DecodeRule(rule.get(), std::get<0>(key), std::get<1>(key), dump_.sets_);
      AddConditions(decoded, key, 0, depth);
    }
  }

  // Adds the conditions from `index` on, one rule for each value of a set, and then the verdict.
  void AddConditions(const NftRule& rule, const ChainKey& key, size_t index, int depth) {
    if (out_->rules.size() >= kRulesMax) {
      ++out_->rules_omitted;
      return;
    }
    if (index == rule.conditions.size()) {
      Conclude(rule, rule.verdict, rule.chain, key, depth);
      return;
    }
    const NftCondition& condition = rule.conditions[index];
    if (condition.implied) {
      AddConditions(rule, key, index + 1, depth);
      return;
    }
    if (static_cast<int>(index) == rule.verdict_map && !condition.values.empty() &&
        condition.values[0].element->has_verdict) {
      const std::string subject = condition.subject.substr(0, condition.subject.rfind(" vmap"));
      for (const NftSetValue& value : condition.values) {
        conditions_.push_back(
            {absl::StrCat(subject, " ", value.text), condition.destination ? value.text : ""});
        Conclude(rule, ToVerdict(value.element->verdict), value.element->chain, key, depth);
        conditions_.pop_back();
      }
      return;
    }
    if (condition.expands) {
      for (const NftSetValue& value : condition.values) {
        conditions_.push_back({absl::StrCat(condition.subject, " ", value.text), value.text});
        AddConditions(rule, key, index + 1, depth);
        conditions_.pop_back();
      }
      return;
    }
    const bool plain = condition.destination && !condition.value.starts_with("@") &&
                       !condition.value.starts_with("{");
    conditions_.push_back({condition.Text(), plain ? condition.value : ""});
    AddConditions(rule, key, index + 1, depth);
    conditions_.pop_back();
  }

  void Conclude(const NftRule& rule, NftVerdict verdict, const std::string& chain,
                const ChainKey& key, int depth) {
    const std::string statement = absl::StrJoin(rule.statements, " ");
    switch (verdict) {
      case NftVerdict::kAccept:
        return Emit("allow", statement);
      case NftVerdict::kDeny:
        return Emit("deny", statement);
      case NftVerdict::kJump:
      case NftVerdict::kGoto:
        return Follow({std::get<0>(key), std::get<1>(key), chain}, depth + 1);
      case NftVerdict::kReturn:
        return Emit("other", absl::StrCat(statement, statement.empty() ? "" : " ", "return"));
      case NftVerdict::kNone:
        // A rule that only counts packets decides nothing.
        if (!statement.empty())
          Emit("other", statement);
        return;
    }
  }

  void Emit(const char* action, const std::string& statement) {
    // The destination comes first, if there is exactly one.
    const Condition* destination = nullptr;
    const auto destinations =
        std::count_if(conditions_.begin(), conditions_.end(),
                      [](const Condition& a) { return !a.destination.empty(); });
    std::vector<std::string> parts;
    for (const Condition& condition : conditions_) {
      if (destinations == 1 && !condition.destination.empty())
        destination = &condition;
      else
        parts.push_back(condition.text);
    }
    if (destination)
      parts.insert(parts.begin(), destination->destination);
    if (!statement.empty())
      parts.push_back(statement);
    out_->rules.push_back({action, parts.empty() ? "any" : absl::StrJoin(parts, " ")});
  }

  const NftDump& dump_;
  Ruleset* out_;
  std::vector<Condition> conditions_;
  size_t walked_ = 0;
};

Ruleset NftDump::Flatten(uint32_t generation) const {
  Ruleset out = {.generation = generation, .rules = {}};
  std::vector<std::tuple<uint32_t, int32_t, ChainKey>> bases;
  for (const auto& [key, chain] : chains_) {
    out.static_count += chain.rules.size();
    if (chain.base && IsOutbound(std::get<0>(key), chain.hook))
      bases.emplace_back(chain.hook == NF_INET_LOCAL_OUT ? 0 : chain.hook + 1, chain.priority, key);
  }
  std::sort(bases.begin(), bases.end());
  Flattener flattener(*this, &out);
  for (const auto& [order, priority, key] : bases) {
    const Chain& chain = chains_.at(key);
    out.present = true;
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
