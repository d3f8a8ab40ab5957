// SPDX-License-Identifier: Apache-2.0
#ifndef SANDPIPER_USERSPACE_RULESET_NFT_HEADER_TRACKER_H_
#define SANDPIPER_USERSPACE_RULESET_NFT_HEADER_TRACKER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "userspace/ruleset/nft_rule.h"
#include "userspace/ruleset/nft_subjects.h"

namespace sandpiper {

// Follows the conditions of one rule on protocols. They decide what the bytes of a header are, and
// nft does not print those that the name of a later field includes.
class NftHeaderTracker {
 public:
  // `family` is that of the table (NFPROTO_*).
  explicit NftHeaderTracker(uint32_t family);

  const NftContext& context() const { return context_; }
  // A condition asks for the ICMP type destination-unreachable. Only that message has an MTU.
  bool is_icmp_unreachable() const { return is_icmp_unreachable_; }

  // The subject is compared for equality with `data`. `term` is the index of that condition.
  void Note(const NftSubject& subject, const std::string& data, size_t term);
  // Marks the earlier conditions that the name of the subject includes.
  void Imply(const NftSubject& subject, std::vector<NftTerm>* terms) const;

 private:
  const uint32_t family_;
  NftContext context_;
  std::optional<size_t> link_condition_, vlan_condition_, network_condition_, transport_condition_;
  bool is_icmp_unreachable_ = false;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RULESET_NFT_HEADER_TRACKER_H_
