// SPDX-License-Identifier: Apache-2.0
// Follows chains as a packet does, and writes down the rules on the way with their conditions.
#ifndef SANDPIPER_USERSPACE_RULESET_NFT_FLATTENER_H_
#define SANDPIPER_USERSPACE_RULESET_NFT_FLATTENER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "userspace/ruleset/nft_rule.h"
#include "userspace/ruleset/nft_set.h"
#include "userspace/ruleset/ruleset.h"

struct nftnl_rule;

namespace sandpiper {

struct NftRuleDeleter {
  void operator()(nftnl_rule* rule) const;
};

struct NftChain {
  bool base = false;    // attached to a hook
  bool filter = false;  // of type filter
  bool drops = false;   // its policy is drop
  uint32_t hook = 0;
  int32_t priority = 0;
  std::string devices;  // of the family netdev
  std::vector<std::unique_ptr<nftnl_rule, NftRuleDeleter>> rules;
};

using NftChainKey = std::tuple<uint32_t, std::string, std::string>;  // family, table, name
using NftChains = std::map<NftChainKey, NftChain>;

class NftFlattener {
 public:
  // The most rules that are listed; the others are only counted. The kernel has no limit.
  static constexpr size_t kRulesMax = 100'000;

  NftFlattener(const NftChains& chains, const NftSets& sets, const NftInterfaces& interfaces,
               Ruleset* out)
      : chains_(chains), sets_(sets), interfaces_(interfaces), out_(out) {}

  // Appends the rules of a base chain. `hook` is a condition of all of them, if it is not empty.
  void Walk(const NftChainKey& base, const std::string& hook);

 private:
  struct Condition {
    std::string text;
    std::string destination =
        {};  // the value alone, if the condition is on the destination address
    bool is_statement = false;
  };

  void Follow(const NftChainKey& key, int depth);
  // Adds the terms from `index` on, one rule for each value of a set, and then the verdict.
  void AddTerms(const NftRule& rule, const NftChainKey& key, size_t index, int depth);
  // Adds one rule for each value of the condition on a map with verdicts.
  void AddVerdicts(const NftTerm& term, const NftChainKey& key, int depth);
  void Conclude(NftVerdict verdict, const std::string& chain, const NftChainKey& key, int depth);
  void Jump(const std::string& chain, const NftChainKey& key, int depth);
  void Push(const NftTerm& term, const NftSetValue& value);
  bool HasStatement() const;
  void Emit(const char* action, const std::string& statement = "");

  const NftChains& chains_;
  const NftSets& sets_;
  const NftInterfaces& interfaces_;
  Ruleset* const out_;
  std::vector<Condition> conditions_;
  size_t walked_ = 0;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RULESET_NFT_FLATTENER_H_
