// SPDX-License-Identifier: Apache-2.0
// The rules that a network namespace puts a sandbox under, as far as they decide where it may go.
#ifndef SANDPIPER_USERSPACE_RULESET_RULESET_H_
#define SANDPIPER_USERSPACE_RULESET_RULESET_H_

#include <cstdint>
#include <string>
#include <vector>

namespace sandpiper {

// `action`: allow, deny, or other for what is neither (a redirect, a mark, a jump that cannot be
// followed). `target`: an address, prefix or range where the rule has one, and behind it what else
// it asks for in nft(8)'s words; "any" where it asks for nothing. Raw text: names in it are
// whatever the author of the rules chose.
struct Rule {
  std::string action, target;

  auto operator<=>(const Rule&) const = default;
};

struct Ruleset {
  uint32_t generation = 0;  // nftables counts the commits of a namespace
  bool present = false;     // there is a base chain on the way out, or one that forwards
  bool default_deny =
      false;  // the policy of a base chain of type filter on the output path is drop
  std::vector<Rule>
      rules;  // in the order in which the kernel comes to them; elements of sets sorted by value
  uint64_t rules_omitted = 0;  // that were left out of `rules`, there being too many
  uint64_t static_count = 0;  // rules and elements without a timeout, of all tables
};

struct RulesetChange {
  std::vector<Rule> added, removed;  // in the order of the new and of the old rule set
  bool default_changed = false;

  bool empty() const { return added.empty() && removed.empty() && !default_changed; }
};

// A rule that is there twice and then once was removed once.
RulesetChange Compare(const Ruleset& before, const Ruleset& after);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RULESET_RULESET_H_
