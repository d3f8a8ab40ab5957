// SPDX-License-Identifier: Apache-2.0
#include "userspace/ruleset/nft_flattener.h"

#include <libnftnl/rule.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace sandpiper {
namespace {

// The kernel follows no more jumps (NFT_JUMP_STACK_SIZE).
constexpr int kJumpsMax = 16;

}  // namespace

void NftRuleDeleter::operator()(nftnl_rule* rule) const { nftnl_rule_free(rule); }

void NftFlattener::Walk(const NftChainKey& base, const std::string& hook) {
  if (!hook.empty())
    conditions_.push_back({.text = hook});
  Follow(base, 0);
  conditions_.clear();
}

void NftFlattener::Follow(const NftChainKey& key, int depth) {
  const auto chain = chains_.find(key);
  if (chain == chains_.end() || depth > kJumpsMax)
    return Emit("other", absl::StrCat("goes to ", std::get<2>(key)));
  for (const auto& rule : chain->second.rules) {
    // The kernel rejects loops of jumps, but not trees, which can be exponential. This bounds the
    // work as well as the result.
    if (++walked_ > kRulesMax * 2) {
      ++out_->rules_omitted;
      continue;
    }
    const NftRule decoded = DecodeRule(rule.get(), {.family = std::get<0>(key),
                                                    .table = std::get<1>(key),
                                                    .sets = sets_,
                                                    .interfaces = interfaces_});
    AddTerms(decoded, key, 0, depth);
  }
}

void NftFlattener::AddTerms(const NftRule& rule, const NftChainKey& key, size_t index, int depth) {
  if (out_->rules.size() >= kRulesMax) {
    ++out_->rules_omitted;
    return;
  }
  if (index == rule.terms.size())
    return Conclude(rule.verdict, rule.chain, key, depth);
  const NftTerm& term = rule.terms[index];
  if (term.implied)
    return AddTerms(rule, key, index + 1, depth);
  if (static_cast<int>(index) == rule.verdict_map)
    return AddVerdicts(term, key, depth);
  if (!term.expands) {
    conditions_.push_back({.text = term.Text(),
                           .destination = term.destination ? term.value : "",
                           .is_statement = term.kind == NftTerm::Kind::kStatement});
    AddTerms(rule, key, index + 1, depth);
    conditions_.pop_back();
    return;
  }
  for (const NftSetValue& value : term.values) {
    const size_t before = conditions_.size();
    Push(term, value);
    AddTerms(rule, key, index + 1, depth);
    conditions_.resize(before);
  }
}

void NftFlattener::AddVerdicts(const NftTerm& term, const NftChainKey& key, int depth) {
  const size_t before = conditions_.size();
  for (const NftSetValue& value : term.values) {
    if (out_->rules.size() >= kRulesMax) {
      ++out_->rules_omitted;
      continue;
    }
    Push(term, value);
    const NftVerdict verdict = ToVerdict(value.element->verdict);
    // It decides nothing, but the values after it do not match any more.
    if (verdict == NftVerdict::kNone)
      Emit("other", "continue");
    else
      Conclude(verdict, value.element->chain, key, depth);
    conditions_.resize(before);
  }
  if (term.expands)
    return;
  conditions_.push_back({.text = term.Text()});
  Emit("other");
  conditions_.resize(before);
}

// A key of address and port is printed as two conditions, one after the other.
void NftFlattener::Push(const NftTerm& term, const NftSetValue& value) {
  if (value.parts.size() != term.parts.size() || value.element->catch_all) {
    conditions_.push_back(
        {.text = absl::StrCat(absl::StrJoin(term.parts, " . "), " ", value.text)});
    return;
  }
  for (size_t i = 0; i < value.parts.size(); ++i)
    conditions_.push_back(
        {.text = absl::StrCat(term.parts[i], " ", value.parts[i]),
         .destination = static_cast<int>(i) == term.destination_part ? value.parts[i] : ""});
}

bool NftFlattener::HasStatement() const {
  return std::any_of(conditions_.begin(), conditions_.end(),
                     [](const Condition& condition) { return condition.is_statement; });
}

void NftFlattener::Conclude(NftVerdict verdict, const std::string& chain, const NftChainKey& key,
                            int depth) {
  switch (verdict) {
    case NftVerdict::kAccept:
      return Emit("allow");
    case NftVerdict::kDeny:
      return Emit("deny");
    case NftVerdict::kJump:
    case NftVerdict::kGoto:
      return Jump(chain, key, depth);
    case NftVerdict::kReturn:
      return Emit("other", "return");
    case NftVerdict::kNone:
      // A rule that only counts packets decides nothing.
      if (HasStatement())
        Emit("other");
      return;
  }
}

void NftFlattener::Jump(const std::string& chain, const NftChainKey& key, int depth) {
  const NftChainKey to = {std::get<0>(key), std::get<1>(key), chain};
  if (!HasStatement())
    return Follow(to, depth + 1);
  // The statements of this rule are no conditions of the rules that follow.
  Emit("other", absl::StrCat("goes to ", chain));
  std::vector<Condition> all = conditions_;
  std::erase_if(conditions_, [](const Condition& condition) { return condition.is_statement; });
  Follow(to, depth + 1);
  conditions_ = std::move(all);
}

void NftFlattener::Emit(const char* action, const std::string& statement) {
  // The destination comes first, if there is exactly one.
  const Condition* destination = nullptr;
  const auto destinations =
      std::count_if(conditions_.begin(), conditions_.end(),
                    [](const Condition& condition) { return !condition.destination.empty(); });
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

}  // namespace sandpiper
