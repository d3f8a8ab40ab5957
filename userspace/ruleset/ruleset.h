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

// Flags of a table that decide whether its rules are in force, and how long.
struct TableFlags {
  std::string table;      // as "inet fence"
  bool dormant = false;   // its rules are not in force
  bool owned = false;     // only the process that made it can change it, and the kernel removes it
                          // with that process's socket
  bool persists = false;  // it stays when that socket closes

  auto operator<=>(const TableFlags&) const = default;
};

// A table of iptables-legacy. sandpiper does not read what its rules match.
struct XtablesTable {
  std::string name;           // as "ip filter"
  uint64_t rules = 0;         // without policies
  bool drops = false;         // the policy of a chain is drop
  bool drops_output = false;  // that of the chain OUTPUT

  auto operator<=>(const XtablesTable&) const = default;
};

struct Ruleset {
  uint32_t generation = 0;  // nftables' count of commits in this namespace
  // A base chain belongs to an outbound or forward hook. It may be in a dormant table.
  bool present = false;
  // A base chain of type filter on the output hook has the policy drop; or OUTPUT of a table of
  // iptables-legacy.
  bool default_deny = false;
  // Ordered as the kernel evaluates them; elements of sets are sorted by value.
  std::vector<Rule> rules;
  uint64_t rules_omitted = 0;         // not in `rules`, which has a limit
  std::vector<TableFlags> tables;     // those that have a flag, sorted
  std::vector<XtablesTable> xtables;  // those in force
  // Rules, and elements without a timeout, of all tables of nftables.
  uint64_t static_count = 0;
};

// The flags as nft(8) prints them, with the table, as "inet fence dormant,owner".
std::string ToString(const TableFlags& flags);

struct RulesetChange {
  std::vector<Rule> added, removed;  // in the order of the new and of the old rule set
  bool default_changed = false;
  bool tables_changed = false;   // their flags
  bool xtables_changed = false;  // their number of rules or their policies

  bool empty() const {
    return added.empty() && removed.empty() && !default_changed && !tables_changed &&
           !xtables_changed;
  }
};

// Counts copies: of two equal rules before and one after, one was removed.
RulesetChange Compare(const Ruleset& before, const Ruleset& after);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RULESET_RULESET_H_
