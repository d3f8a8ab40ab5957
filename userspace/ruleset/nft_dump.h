// SPDX-License-Identifier: Apache-2.0
// Collects the nftables of a network namespace from netlink messages, and flattens them to the
// rules that decide where a sandbox may connect. libnftables is not used for this: it prints rule
// sets without the generation that they belong to, and does not follow jumps.
#ifndef SANDPIPER_USERSPACE_RULESET_NFT_DUMP_H_
#define SANDPIPER_USERSPACE_RULESET_NFT_DUMP_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "absl/status/status.h"
#include "userspace/ruleset/nft_set.h"
#include "userspace/ruleset/ruleset.h"

struct nftnl_rule;
struct nlmsghdr;

namespace sandpiper {

class NftDump {
 public:
  // The most rules that Flatten lists; it only counts the others. The kernel has no limit.
  static constexpr size_t kRulesMax = 100'000;

  NftDump() = default;
  NftDump(const NftDump&) = delete;
  NftDump& operator=(const NftDump&) = delete;

  // Each adds one message of a dump. Chains come before their rules, and sets before their
  // elements. DataLoss if the message cannot be parsed.
  absl::Status AddChain(const nlmsghdr* message);
  absl::Status AddRule(const nlmsghdr* message);
  absl::Status AddSet(const nlmsghdr* message);
  absl::Status AddElements(const nlmsghdr* message);

  const NftSets& sets() const { return sets_; }

  // Aborted if an element came twice. When a hash set grows during a dump, the kernel repeats some
  // elements and omits as many others, without a sign (nft_rhash_walk() starts over for each
  // message and skips as many elements as it has sent).
  absl::Status CheckElements() const;

  // The rules in the order in which the kernel evaluates them, with jumps followed.
  Ruleset Flatten(uint32_t generation) const;

 private:
  struct RuleDeleter {
    void operator()(nftnl_rule* rule) const;
  };
  struct Chain {
    std::string name;
    bool base = false;    // attached to a hook
    bool filter = false;  // of type filter
    bool drops = false;   // its policy is drop
    uint32_t hook = 0;
    int32_t priority = 0;
    std::vector<std::unique_ptr<nftnl_rule, RuleDeleter>> rules;
  };
  using ChainKey = std::tuple<uint32_t, std::string, std::string>;  // family, table, name
  class Flattener;

  std::map<ChainKey, Chain> chains_;
  NftSets sets_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RULESET_NFT_DUMP_H_
