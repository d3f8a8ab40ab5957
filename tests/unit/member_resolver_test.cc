// SPDX-License-Identifier: Apache-2.0
#include "userspace/sandbox/member_resolver.h"

#include <gtest/gtest.h>

#include <random>

#include "absl/strings/str_cat.h"
#include "userspace/base/clock.h"

namespace sandpiper {
namespace {

std::string ContainerId(int n) { return absl::StrCat(std::string(60, '0'), 1000 + n); }

class MemberResolverTest : public ::testing::Test {
 protected:
  static SelectionRule Rule(SelectionRule::By by, const std::string& key) {
    return *MakeRule(by, key);
  }

  void AddCandidate(int n, const std::string& folder = "/docker/") {
    resolver_.OnCandidate({.member = Member(n),
                           .cgroup_id = static_cast<uint64_t>(n),
                           .cgroup = folder + ContainerId(n),
                           .created_ns = now_},
                          now_, &decisions_);
  }
  static uint64_t Member(int n) { return 100 + static_cast<uint64_t>(n); }
  Container MakeContainer(int n, Container::Texts labels = {}, const std::string& network_of = "") {
    Container out;
    out.id = ContainerId(n);
    out.name = absl::StrCat("name-", n);
    out.source = "first";
    out.labels = std::move(labels);
    out.network_of = network_of;
    return out;
  }
  void ReportContainer(const Container& container) {
    resolver_.OnContainer(container, now_, &decisions_);
  }
  void Advance(uint64_t ns) {
    now_ += ns;
    resolver_.ExpireDue(now_, &decisions_);
  }
  // "member:id:role" of each decision since the last call; "member:-" for an unselected one.
  std::vector<std::string> DrainDecisions() {
    std::vector<std::string> out;
    for (const Decision& d : decisions_)
      out.push_back(d.selected ? absl::StrCat(d.candidate.member, ":", d.selected->id, ":",
                                              Name(d.selected->role))
                               : absl::StrCat(d.candidate.member, ":-"));
    decisions_.clear();
    return out;
  }
  using Out = std::vector<std::string>;

  uint64_t now_ = 100 * kSecond;
  MemberResolver resolver_{{.rules = {Rule(SelectionRule::By::kLabel, "id"),
                                      Rule(SelectionRule::By::kCgroup, "^/box/(?P<id>[^/]+)$")},
                            .wait_ns = 5 * kSecond,
                            .sidecars = {"egress"}}};
  std::vector<Decision> decisions_;
};

TEST_F(MemberResolverTest, PathRuleDecidesAtOnce) {
  resolver_.OnCandidate({.member = 7, .cgroup_id = 1, .cgroup = "/box/one", .created_ns = now_},
                        now_, &decisions_);
  EXPECT_EQ(DrainDecisions(), Out{"7:one:app"});
}

TEST_F(MemberResolverTest, ContainerWaitsForItsRuntime) {
  AddCandidate(1);
  EXPECT_EQ(DrainDecisions(), Out{});
  EXPECT_EQ(resolver_.NextDeadline(), now_ + 5 * kSecond);
  ReportContainer(MakeContainer(1, {{"id", "sb"}}));
  EXPECT_EQ(DrainDecisions(), Out{"101:sb:app"});
  EXPECT_EQ(resolver_.waiting(), 0u);
}

TEST_F(MemberResolverTest, MetadataBeforeTheCgroupIsUsed) {
  ReportContainer(MakeContainer(1, {{"id", "sb"}}));
  AddCandidate(1);
  EXPECT_EQ(DrainDecisions(), Out{"101:sb:app"});
}

TEST_F(MemberResolverTest, TimeoutDecidesByKnownMetadata) {
  AddCandidate(1);
  Advance(5 * kSecond);
  EXPECT_EQ(DrainDecisions(), Out{"101:-"});
  // Metadata after the timeout still changes the decision.
  ReportContainer(MakeContainer(1, {{"id", "sb"}}));
  EXPECT_EQ(DrainDecisions(), Out{"101:sb:app"});
}

TEST_F(MemberResolverTest, DecidesAtOnceWithoutRuntimes) {
  resolver_.StopWaitingForRuntimes();
  AddCandidate(1);
  EXPECT_EQ(DrainDecisions(), Out{"101:-"});
}

TEST_F(MemberResolverTest, ChangedLabelChangesTheSandbox) {
  AddCandidate(1);
  ReportContainer(MakeContainer(1, {{"id", "a"}}));
  ReportContainer(MakeContainer(1, {{"id", "b"}}));
  ReportContainer(MakeContainer(1, {{"id", "b"}}));
  ReportContainer(MakeContainer(1));
  EXPECT_EQ(DrainDecisions(), (Out{"101:a:app", "101:b:app", "101:-"}));
}

TEST_F(MemberResolverTest, SecondRuntimeIsAContradiction) {
  AddCandidate(1);
  ReportContainer(MakeContainer(1, {{"id", "a"}}));
  Container other = MakeContainer(1, {{"id", "b"}});
  other.source = "second";
  ReportContainer(other);
  EXPECT_EQ(DrainDecisions(), Out{"101:a:app"});
  EXPECT_EQ(resolver_.contradictions(), 1u);
}

TEST_F(MemberResolverTest, RuntimeReplacesMetadataOfTheBundle) {
  Container bundle = MakeContainer(1);
  bundle.source = "";
  bundle.complete = false;
  ReportContainer(bundle);
  AddCandidate(1);
  EXPECT_EQ(DrainDecisions(), Out{});
  ReportContainer(MakeContainer(1, {{"id", "a"}}));
  ReportContainer(bundle);
  EXPECT_EQ(DrainDecisions(), Out{"101:a:app"});
}

TEST_F(MemberResolverTest, SharedNetworkJoinsInEitherOrder) {
  AddCandidate(1);
  ReportContainer(MakeContainer(1));  // the sidecar, which owns the network
  AddCandidate(2);
  ReportContainer(MakeContainer(2, {{"id", "sb"}}, ContainerId(1)));
  EXPECT_EQ(DrainDecisions(), (Out{"101:-", "102:sb:app", "101:sb:sidecar"}));
  AddCandidate(3);
  ReportContainer(MakeContainer(3, {}, ContainerId(2)));
  EXPECT_EQ(DrainDecisions(), Out{"103:sb:sidecar"});
}

TEST_F(MemberResolverTest, PauseAndSidecarContainersGetTheirRoles) {
  for (int n = 1; n <= 3; ++n) {
    Container container = MakeContainer(n, {{"id", "sb"}});
    container.pod.name = "pod";
    container.pause = n == 1;
    container.name = n == 2 ? "egress" : "sandbox";
    AddCandidate(n);
    ReportContainer(container);
  }
  EXPECT_EQ(DrainDecisions(), (Out{"101:sb:pause", "102:sb:sidecar", "103:sb:app"}));
}

TEST_F(MemberResolverTest, ForgottenMemberIsNotDecided) {
  AddCandidate(1);
  resolver_.Forget(Member(1));
  ReportContainer(MakeContainer(1, {{"id", "sb"}}));
  Advance(10 * kSecond);
  EXPECT_EQ(DrainDecisions(), Out{});
}

// Applies candidates, metadata, ends and time in random order. Each living member is decided after
// the wait, and by its own container only.
TEST_F(MemberResolverTest, OrderOfEventsDoesNotMatter) {
  std::mt19937 random(1);
  std::map<uint64_t, std::string> decided;
  for (int step = 0; step < 20'000; ++step) {
    const int n = static_cast<int>(random() % 50);
    switch (random() % 5) {
      case 0:
        AddCandidate(n);
        break;
      case 1:
        ReportContainer(MakeContainer(n, {{"id", absl::StrCat("sb-", n)}}));
        break;
      case 2:
        Advance(random() % kSecond);
        break;
      case 3:
        if (random() % 10 == 0) {
          resolver_.Forget(Member(n));
          decided.erase(Member(n));
        }
        break;
      default:
        ReportContainer(MakeContainer(n));
    }
    for (const Decision& d : decisions_) {
      decided[d.candidate.member] = d.selected ? d.selected->id : "-";
      if (d.selected) {
        ASSERT_EQ(d.selected->id, absl::StrCat("sb-", d.candidate.member - 100));
      }
    }
    decisions_.clear();
  }
  Advance(10 * kSecond);
  EXPECT_EQ(resolver_.waiting(), 0u);
}

TEST_F(MemberResolverTest, ForgetsTheOldestOverTheLimits) {
  MemberResolver small({.rules = {Rule(SelectionRule::By::kLabel, "id")},
                        .wait_ns = kSecond,
                        .sidecars = {},
                        .rejected_max = 10,
                        .containers_max = 10});
  for (int n = 0; n < 1000; ++n) {
    small.OnCandidate({.member = Member(n),
                       .cgroup_id = 1,
                       .cgroup = "/docker/" + ContainerId(n),
                       .created_ns = now_},
                      now_, &decisions_);
    small.OnContainer(MakeContainer(n), now_, &decisions_);
  }
  EXPECT_EQ(decisions_.size(), 1000u);
  EXPECT_LE(small.size(), 10u);
}

}  // namespace
}  // namespace sandpiper
