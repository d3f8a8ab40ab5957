// SPDX-License-Identifier: Apache-2.0
#include "userspace/ruleset/xtables.h"

#include <gtest/gtest.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>

#include <cstring>
#include <string>

namespace sandpiper {
namespace {

constexpr uint32_t kHooks[] = {NF_INET_LOCAL_IN, NF_INET_FORWARD, NF_INET_LOCAL_OUT};

// Builds a table as the kernel returns it: the policy of each hook follows its rules, then come the
// chains of the user, then the end.
template <typename Layout>
class Table {
 public:
  void AddVerdict(int verdict) {
    xt_standard_target target = {};
    target.verdict = verdict;
    Add(&target, sizeof(target));
  }
  void AddError(const char* name) {
    xt_error_target target = {};
    std::strcpy(target.target.u.user.name, XT_ERROR_TARGET);
    std::strcpy(target.errorname, name);
    Add(&target, sizeof(target));
  }
  void AddHook(uint32_t hook, int rules, int policy) {
    info_.valid_hooks |= 1u << hook;
    info_.hook_entry[hook] = static_cast<uint32_t>(entries_.size());
    for (int i = 0; i < rules; ++i)
      AddVerdict(-NF_ACCEPT - 1);
    info_.underflow[hook] = static_cast<uint32_t>(entries_.size());
    AddVerdict(policy);
  }
  absl::StatusOr<XtablesTable> Parse(XtablesFamily family) {
    std::strcpy(info_.name, "filter");
    return ParseXtables(family, {reinterpret_cast<const char*>(&info_), sizeof(info_)}, entries_);
  }

  std::string entries_;

 private:
  void Add(const void* target, size_t bytes) {
    Layout entry = {};
    entry.target_offset = sizeof(entry);
    entry.next_offset = static_cast<uint16_t>(sizeof(entry) + bytes);
    entries_.append(reinterpret_cast<const char*>(&entry), sizeof(entry));
    entries_.append(static_cast<const char*>(target), bytes);
  }

  ipt_getinfo info_ = {};
};

TEST(Xtables, TableWithoutRulesIsNotInForce) {
  Table<ipt_entry> table;
  for (const uint32_t hook : kHooks)
    table.AddHook(hook, 0, -NF_ACCEPT - 1);
  table.AddError("ERROR");
  const auto parsed = table.Parse(XtablesFamily::kIpv4);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->name, "ip filter");
  EXPECT_EQ(parsed->rules, 0u);
  EXPECT_FALSE(IsInForce(*parsed));
}

TEST(Xtables, PolicyDropOfOutputIsInForce) {
  Table<ip6t_entry> table;
  table.AddHook(NF_INET_LOCAL_IN, 0, -NF_ACCEPT - 1);
  table.AddHook(NF_INET_LOCAL_OUT, 0, -NF_DROP - 1);
  table.AddError("ERROR");
  const auto parsed = table.Parse(XtablesFamily::kIpv6);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->name, "ip6 filter");
  EXPECT_TRUE(parsed->drops_output);
  EXPECT_TRUE(IsInForce(*parsed));
}

TEST(Xtables, PolicyDropOfForwardIsNoDefaultForTheNamespace) {
  Table<ipt_entry> table;
  table.AddHook(NF_INET_FORWARD, 0, -NF_DROP - 1);
  table.AddHook(NF_INET_LOCAL_OUT, 0, -NF_ACCEPT - 1);
  table.AddError("ERROR");
  const auto parsed = table.Parse(XtablesFamily::kIpv4);
  ASSERT_TRUE(parsed.ok());
  EXPECT_FALSE(parsed->drops_output);
  EXPECT_TRUE(IsInForce(*parsed));
}

TEST(Xtables, CountsRulesButNeitherPoliciesNorChains) {
  Table<ipt_entry> table;
  table.AddHook(NF_INET_LOCAL_OUT, 2, -NF_ACCEPT - 1);
  table.AddError("MINE");
  table.AddVerdict(-NF_DROP - 1);
  table.AddVerdict(XT_RETURN);
  table.AddError("EMPTY");
  table.AddVerdict(XT_RETURN);
  table.AddError("ERROR");
  const auto parsed = table.Parse(XtablesFamily::kIpv4);
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->rules, 3u);
}

TEST(Xtables, CutOffTableIsAnError) {
  Table<ipt_entry> table;
  table.AddHook(NF_INET_LOCAL_OUT, 1, -NF_ACCEPT - 1);
  table.entries_.pop_back();
  EXPECT_FALSE(table.Parse(XtablesFamily::kIpv4).ok());
  table.entries_.assign(table.entries_.size(), '\0');
  EXPECT_FALSE(table.Parse(XtablesFamily::kIpv4).ok()) << "an entry of no length";
}

}  // namespace
}  // namespace sandpiper
