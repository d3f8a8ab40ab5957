// SPDX-License-Identifier: Apache-2.0
// One rule: from the little programs that the kernel runs, back to what they ask for.
#ifndef SANDPIPER_USERSPACE_RULESET_NFT_RULE_H_
#define SANDPIPER_USERSPACE_RULESET_NFT_RULE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "userspace/ruleset/nft_set.h"

struct nftnl_rule;

namespace sandpiper {

enum class NftVerdict { kNone, kAccept, kDeny, kJump, kGoto, kReturn };

struct NftCondition {
  std::string subject;  // "ip daddr"; with its operator where that is not equality
  std::string
      value;  // of a comparison; of a set its name, "@allow", or the list of an anonymous one
  bool destination = false;  // an address that packets go to, compared for equality or membership
  // Values of a set that stay, where the condition can be told value by value.
  bool expands = false;
  std::vector<NftSetValue> values;
  bool implied =
      false;  // a later condition says it with its own name, as "tcp dport" does of the protocol

  std::string Text() const { return value.empty() ? subject : subject + " " + value; }
};

struct NftRule {
  std::vector<NftCondition> conditions;
  std::vector<std::string> statements;  // what it does besides its verdict; counters left out, they
                                        // change with each packet
  NftVerdict verdict = NftVerdict::kNone;
  std::string chain;     // of a jump or goto
  int verdict_map = -1;  // index of the condition whose values carry verdicts
};

// `sets` is where the rule's sets are looked up; they must outlive the result. `family`: of the
// table, NFPROTO_*.
NftRule DecodeRule(nftnl_rule* rule, uint32_t family, const std::string& table,
                   const NftSets& sets);

// What the kernel calls a verdict number.
NftVerdict ToVerdict(uint32_t verdict);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RULESET_NFT_RULE_H_
