// SPDX-License-Identifier: Apache-2.0
#include "userspace/ruleset/ruleset.h"

#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace sandpiper {
namespace {

// The rules of `all` without those of `other`, copy by copy.
std::vector<Rule> Without(const std::vector<Rule>& all, const std::vector<Rule>& other) {
  std::map<Rule, size_t> left;
  for (const Rule& rule : other)
    ++left[rule];
  std::vector<Rule> out;
  for (const Rule& rule : all) {
    if (const auto it = left.find(rule); it != left.end() && it->second > 0)
      --it->second;
    else
      out.push_back(rule);
  }
  return out;
}

}  // namespace

RulesetChange Compare(const Ruleset& before, const Ruleset& after) {
  return {.added = Without(after.rules, before.rules),
          .removed = Without(before.rules, after.rules),
          .default_changed = before.default_deny != after.default_deny,
          .tables_changed = before.tables != after.tables,
          .xtables_changed = before.xtables != after.xtables};
}

std::string ToString(const TableFlags& flags) {
  std::vector<const char*> names;
  if (flags.dormant)
    names.push_back("dormant");
  if (flags.owned)
    names.push_back("owner");
  if (flags.persists)
    names.push_back("persist");
  return absl::StrCat(flags.table, " ", absl::StrJoin(names, ","));
}

}  // namespace sandpiper
