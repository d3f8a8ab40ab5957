// SPDX-License-Identifier: Apache-2.0
// Collects the nftables of a network namespace from netlink messages, and flattens them to the
// rules that decide where a sandbox may connect. libnftables is not used for this: it prints rule
// sets without the generation that they belong to, and does not follow jumps.
#ifndef SANDPIPER_USERSPACE_RULESET_NFT_DUMP_H_
#define SANDPIPER_USERSPACE_RULESET_NFT_DUMP_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "userspace/ruleset/nft_flattener.h"
#include "userspace/ruleset/nft_set.h"
#include "userspace/ruleset/ruleset.h"

struct nlmsghdr;

namespace sandpiper {

class NftDump {
 public:
  // `interfaces` finds the names of interfaces in the namespace of the rules.
  explicit NftDump(NftInterfaces interfaces) : interfaces_(std::move(interfaces)) {}
  NftDump(const NftDump&) = delete;
  NftDump& operator=(const NftDump&) = delete;

  // Each adds one message of a dump. Tables come before their chains, chains before their rules,
  // and sets before their elements. DataLoss if the message cannot be parsed.
  absl::Status AddTable(const nlmsghdr* message);
  absl::Status AddChain(const nlmsghdr* message);
  absl::Status AddRule(const nlmsghdr* message);
  absl::Status AddSet(const nlmsghdr* message);
  absl::Status AddElements(const nlmsghdr* message);

  // The tables with flags, sorted.
  std::vector<TableFlags> FlaggedTables() const;
  const NftSets& sets() const { return sets_; }

  // Aborted if an element came twice. When a hash set grows during a dump, the kernel repeats some
  // elements and omits as many others, without a sign (nft_rhash_walk() starts over for each
  // message and skips as many elements as it has sent).
  absl::Status CheckElements() const;

  // The rules in force, in the order in which the kernel evaluates them, with jumps followed.
  Ruleset Flatten(uint32_t generation) const;

 private:
  using TableKey = std::pair<uint32_t, std::string>;  // family, name

  // The kernel detaches the chains of a dormant table from their hooks.
  bool IsDormant(const NftChainKey& chain) const;

  NftInterfaces interfaces_;
  std::map<TableKey, uint32_t> table_flags_;  // NFT_TABLE_F_*
  NftChains chains_;
  NftSets sets_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RULESET_NFT_DUMP_H_
