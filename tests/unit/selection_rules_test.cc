// SPDX-License-Identifier: Apache-2.0
#include "userspace/sandbox/selection_rules.h"

#include <gtest/gtest.h>

namespace sandpiper {
namespace {

using By = SelectionRule::By;

const std::string kId(64, 'a');
const std::string kCgroup = "/kubepods/podb53dfa9e2dc9b890f7fadb2770857b03/" + kId;

SelectionRule Rule(By by, const std::string& key) {
  auto rule = MakeRule(by, key);
  EXPECT_TRUE(rule.ok()) << rule.status();
  return rule.ok() ? *rule : SelectionRule{};
}

Container WithLabels(Container::Texts labels, Container::Texts of_pod = {}) {
  Container out;
  out.id = kId;
  out.labels = std::move(labels);
  out.pod = {.name = "pod-1",
             .name_space = "agents",
             .uid = "u",
             .labels = std::move(of_pod),
             .annotations = {}};
  return out;
}

std::string IdOf(const std::vector<SelectionRule>& rules, const std::string& cgroup,
                 const Container* container, Metadata metadata = Metadata::kFinal) {
  const Verdict verdict = Select(rules, cgroup, ParseCgroupPath(cgroup), container, metadata);
  if (!verdict.known)
    return "?";
  return verdict.selected ? verdict.selected->id : "-";
}

TEST(Selection, FirstMatchWins) {
  const std::vector<SelectionRule> rules = {Rule(By::kLabel, "a"), Rule(By::kLabel, "b"),
                                            Rule(By::kContainer, "")};
  const Container both = WithLabels({{"b", "own"}}, {{"a", "pod's"}}),
                  one = WithLabels({{"b", "own"}}), none = WithLabels({});
  EXPECT_EQ(IdOf(rules, kCgroup, &both), "pod's");
  EXPECT_EQ(IdOf(rules, kCgroup, &one), "own");
  EXPECT_EQ(IdOf(rules, kCgroup, &none), kId);
}

TEST(Selection, WaitsForMetadataThatMayDecide) {
  const std::vector<SelectionRule> rules = {Rule(By::kLabel, "a"), Rule(By::kCgroup, "/kubepods/")};
  EXPECT_EQ(IdOf(rules, kCgroup, nullptr, Metadata::kMayFollow), "?");
  EXPECT_EQ(IdOf(rules, kCgroup, nullptr, Metadata::kFinal), kId);
  Container part = WithLabels({{"other", "x"}});
  part.complete = false;
  EXPECT_EQ(IdOf(rules, kCgroup, &part, Metadata::kMayFollow), "?");
  part.labels["a"] = "there";
  EXPECT_EQ(IdOf(rules, kCgroup, &part, Metadata::kMayFollow), "there");
  // A cgroup that is no container has no labels to wait for.
  EXPECT_EQ(IdOf(rules, "/system.slice/x.service", nullptr, Metadata::kMayFollow), "-");
}

TEST(Selection, RuleWithConditionsNeedsAllOfThem) {
  SelectionRule rule = Rule(By::kAnnotation, "id");
  rule.name_space = "agents";
  rule.labels = {{"tier", "gold"}};
  Container container = WithLabels({}, {{"tier", "gold"}});
  container.pod.annotations["id"] = "x";
  EXPECT_EQ(IdOf({rule}, kCgroup, &container), "x");
  container.pod.labels["tier"] = "silver";
  EXPECT_EQ(IdOf({rule}, kCgroup, &container), "-");
  container.pod.labels["tier"] = "gold";
  container.pod.name_space = "others";
  EXPECT_EQ(IdOf({rule}, kCgroup, &container), "-");
}

TEST(Selection, PathAndUnitRulesGiveTheId) {
  EXPECT_EQ(
      IdOf({Rule(By::kCgroup, "/e2b/sbx-(?P<id>[a-z0-9]+)-[^/]+$")}, "/e2b/sbx-abc123-9f", nullptr),
      "abc123");
  EXPECT_EQ(
      IdOf({Rule(By::kCgroup, "/e2b/sbx-(?<id>[a-z0-9]+)-[^/]+$")}, "/e2b/sbx-abc123-9f", nullptr),
      "abc123");
  EXPECT_EQ(IdOf({Rule(By::kCgroup, "^/box/")}, "/box/one", nullptr), "one");
  EXPECT_EQ(
      IdOf({Rule(By::kUnit, "sandbox-(?<id>.+)\\.scope")}, "/user.slice/sandbox-7.scope", nullptr),
      "7");
  EXPECT_EQ(IdOf({Rule(By::kUnit, "sandbox-.+\\.scope")}, "/user.slice/sandbox-7.scope", nullptr),
            "sandbox-7.scope");
  EXPECT_EQ(IdOf({Rule(By::kUnit, "box-.+\\.scope")}, "/user.slice/sandbox-7.scope", nullptr),
            "-");  // the expression has to match the whole name
}

TEST(Selection, MonitorOfAContainerIsUnselected) {
  EXPECT_EQ(IdOf({Rule(By::kCgroup, "/")}, "/system.slice/crio-conmon-" + kId + ".scope", nullptr),
            "-");
}

TEST(Selection, DefaultRulesSelectOpenSandboxAndAgentSandbox) {
  const Container sidecar = WithLabels({{"opensandbox.io/egress-sidecar-for", "sb"}});
  const Verdict verdict =
      Select(DefaultRules(), kCgroup, ParseCgroupPath(kCgroup), &sidecar, Metadata::kFinal);
  ASSERT_TRUE(verdict.selected);
  EXPECT_EQ(verdict.selected->id, "sb");
  EXPECT_EQ(verdict.selected->role, Role::kSidecar);
  const Container agent = WithLabels({}, {{"agents.x-k8s.io/sandbox-name-hash", "h"}});
  EXPECT_EQ(IdOf(DefaultRules(), kCgroup, &agent), "h");
  // A pod of a pool has its name as id, until it gets the annotation.
  Container pool = WithLabels({}, {{"sandbox.opensandbox.io/pool-name", "pool"}});
  EXPECT_EQ(IdOf(DefaultRules(), kCgroup, &pool), "pod-1");
  pool.pod.annotations["opensandbox.io/id"] = "sb-9";
  EXPECT_EQ(IdOf(DefaultRules(), kCgroup, &pool), "sb-9");
}

TEST(Selection, InvalidExpressionIsAnError) {
  EXPECT_TRUE(absl::IsInvalidArgument(MakeRule(By::kCgroup, "((").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(MakeRule(By::kUnit, "a{9999}").status()));
}

// BPF programs ignore new cgroups without one of the prefixes: a prefix that is too long would lose
// sandboxes.
TEST(Selection, NamePrefixBeginsEveryMatch) {
  const auto prefix = [](By by, const std::string& key) { return NamePrefix(Rule(by, key)); };
  EXPECT_EQ(prefix(By::kLabel, "a"), std::nullopt);
  EXPECT_EQ(prefix(By::kCgroup, "^/e2b/sbx-(?P<id>.+)$"), "sbx-");
  EXPECT_EQ(prefix(By::kCgroup, "^/a/b\\.c[^/]*$"), "b.c");
  EXPECT_EQ(prefix(By::kCgroup, "/a/boxes?$"), "boxe");
  EXPECT_EQ(prefix(By::kCgroup, "/a/[^/b]x"), "");
  EXPECT_EQ(prefix(By::kCgroup, "/a/b[]/]c"), "b");
  EXPECT_EQ(prefix(By::kCgroup, "/a/box*"), "bo");
  EXPECT_EQ(prefix(By::kCgroup, "/a/(?P<id>x)"), "");
  EXPECT_EQ(prefix(By::kCgroup, "/a/x|/b/y"), "");
  EXPECT_EQ(prefix(By::kCgroup, "box"), "");        // may be anywhere in the name
  EXPECT_EQ(prefix(By::kCgroup, "(/a/)?box"), "");  // the slash is part of a group
  EXPECT_EQ(prefix(By::kUnit, "sandbox-(?<id>.+)\\.scope"), "sandbox-");
}

TEST(Selection, LongIdsStayDistinct) {
  const std::string a = CleanId(std::string(65536, 'x')),
                    b = CleanId(std::string(65535, 'x') + "y");
  EXPECT_NE(a, b);
  EXPECT_LT(a.size(), 250u);
  EXPECT_EQ(CleanId("plain-1"), "plain-1");
  EXPECT_EQ(CleanId("a\nb\xff"), "a\\x0ab\\xff");
}

}  // namespace
}  // namespace sandpiper
