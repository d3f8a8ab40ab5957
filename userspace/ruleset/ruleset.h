// SPDX-License-Identifier: Apache-2.0
// The firewall rules of a network namespace that decide where a sandbox may connect.
#ifndef SANDPIPER_USERSPACE_RULESET_RULESET_H_
#define SANDPIPER_USERSPACE_RULESET_RULESET_H_

#include <cstdint>
#include <string>
#include <vector>

namespace sandpiper {

// `action` is allow, deny, or other (a redirect, a mark, a jump that cannot be followed). `target`
// is the address, prefix or range of the rule, if it has one, followed by its other conditions in
// the words of nft(8); "any" without conditions. The text is not escaped: the author of the rules
// chose the names in it.
struct Rule {
  std::string action, target;

  auto operator<=>(const Rule&) const = default;
};

struct Ruleset {
  uint32_t generation = 0;  // nftables' count of commits in this namespace
  bool present = false;     // a base chain is attached to an outbound or forward hook
  // A base chain of type filter on the output hook has the policy drop.
  bool default_deny = false;
  // Ordered as the kernel evaluates them; elements of sets are sorted by value.
  std::vector<Rule> rules;
  uint64_t rules_omitted = 0;  // not in `rules`, which has a limit
  // Rules, and elements without a timeout, of all tables.
  uint64_t static_count = 0;
};

struct RulesetChange {
  std::vector<Rule> added, removed;  // in the order of the new and of the old rule set
  bool default_changed = false;

  bool empty() const { return added.empty() && removed.empty() && !default_changed; }
};

// Counts copies: of two equal rules before and one after, one was removed.
RulesetChange Compare(const Ruleset& before, const Ruleset& after);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RULESET_RULESET_H_
