// SPDX-License-Identifier: Apache-2.0
// Decodes the expressions of one nftables rule into conditions, statements and a verdict, in the
// words of nft(8). The reverse of nft's own translation (libnftnl, src/expr).
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
  // As "ip daddr"; includes the operator unless it is equality.
  std::string subject;
  // The compared value, the name of a set as "@allow", or the list of an anonymous set.
  std::string value;
  // The destination address, compared for equality or membership.
  bool destination = false;
  // The condition can be listed value by value: `values` are the permanent elements of its set.
  bool expands = false;
  std::vector<NftSetValue> values;
  // A later condition includes it, as "tcp dport" includes the protocol.
  bool implied = false;

  std::string Text() const { return value.empty() ? subject : subject + " " + value; }
};

struct NftRule {
  std::vector<NftCondition> conditions;
  // Statements besides the verdict. Counters are left out because they change with each packet.
  std::vector<std::string> statements;
  NftVerdict verdict = NftVerdict::kNone;
  std::string chain;     // of a jump or goto
  int verdict_map = -1;  // index of the condition with verdicts as values
};

// `family` is that of the table (NFPROTO_*). The result refers to `sets`, which must outlive it.
NftRule DecodeRule(nftnl_rule* rule, uint32_t family, const std::string& table,
                   const NftSets& sets);

// Converts a verdict number of the kernel (linux/netfilter.h, NFT_JUMP and so on).
NftVerdict ToVerdict(uint32_t verdict);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RULESET_NFT_RULE_H_
