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

// A condition or a statement of a rule.
struct NftTerm {
  enum class Kind {
    kCondition,  // on the packet
    kLimit,      // a statement that lets the rule go on only for some packets, as a limit
    kStatement,  // acts on the packet, or writes something down
  };

  Kind kind = Kind::kCondition;
  // As "ip daddr"; includes the operator unless it is equality. The whole text of a statement.
  std::string subject;
  // The compared value, the name of a set as "@allow", or the list of an anonymous set.
  std::string value = {};
  // `value` is a destination address, a prefix or a range of them.
  bool destination = false;
  // A later condition includes it, as "tcp dport" includes the protocol.
  bool implied = false;

  // Of a condition on a set: the permanent elements of it, and the names of the parts of its key.
  // The destination address is the part with the index `destination_part`, -1 if it is none.
  std::vector<NftSetValue> values = {};
  std::vector<std::string> parts = {};
  int destination_part = -1;
  // The condition can be listed value by value.
  bool expands = false;

  std::string Text() const { return value.empty() ? subject : subject + " " + value; }
};

struct NftRule {
  // In their order. Counters are left out because they change with each packet.
  std::vector<NftTerm> terms;
  NftVerdict verdict = NftVerdict::kNone;
  std::string chain;     // of a jump or goto
  int verdict_map = -1;  // index of the condition with verdicts as values
};

// The table of a rule, and the objects that the rule refers to.
struct NftTableContext {
  uint32_t family;  // NFPROTO_*
  const std::string& table;
  const NftSets& sets;
  const NftInterfaces& interfaces;
};

// The result refers to the sets of `context`, which must outlive it.
NftRule DecodeRule(nftnl_rule* rule, const NftTableContext& context);

// Converts a verdict number of the kernel (linux/netfilter.h, NFT_JUMP and so on).
NftVerdict ToVerdict(uint32_t verdict);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RULESET_NFT_RULE_H_
