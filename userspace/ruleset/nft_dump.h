// SPDX-License-Identifier: Apache-2.0
// Everything that a network namespace's nftables hold, collected message by message, and what of it
// decides where a sandbox may go.
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
  // Rules that Flatten tells one by one; the kernel has no limit.
  static constexpr size_t kRulesMax = 100'000;

  NftDump() = default;
  NftDump(const NftDump&) = delete;
  NftDump& operator=(const NftDump&) = delete;

  // One message of a dump: of a table's chains, rules, sets, or of the elements of a set whose own
  // message came before.
  absl::Status AddChain(const nlmsghdr* message);
  absl::Status AddRule(const nlmsghdr* message);
  absl::Status AddSet(const nlmsghdr* message);
  absl::Status AddElements(const nlmsghdr* message);

  const NftSets& sets() const { return sets_; }

  // Aborted if an element came twice. A hash set that grows while it is dumped gives some elements
  // twice and leaves as many out, and the kernel says nothing of it (nft_rhash_walk() starts over
  // for each message and counts how far it was).
  absl::Status CheckElements() const;

  Ruleset Flatten(uint32_t generation) const;

 private:
  struct RuleDeleter {
    void operator()(nftnl_rule* rule) const;
  };
  struct Chain {
    std::string name;
    bool base = false, filter = false, drops = false;
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
