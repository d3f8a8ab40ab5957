// SPDX-License-Identifier: Apache-2.0
#include "userspace/sandbox/member_resolver.h"

#include <gtest/gtest.h>

#include <random>

#include "absl/strings/str_cat.h"
#include "userspace/base/clock.h"

namespace sandpiper {
namespace {

std::string ContainerId(int n) { return absl::StrCat(std::string(60, '0'), 1000 + n); }

class MembershipTest : public ::testing::Test {
 protected:
  static SelectionRule Rule(SelectionRule::By by, const std::string& key) {
    return *MakeRule(by, key);
  }

  void Born(int n, const std::string& folder = "/docker/") {
    membership_.OnCandidate({.member = Member(n),
                             .cgroup_id = static_cast<uint64_t>(n),
                             .cgroup = folder + ContainerId(n),
                             .born_ns = now_},
                            now_, &decisions_);
  }
  static uint64_t Member(int n) { return 100 + static_cast<uint64_t>(n); }
  Container About(int n, Container::Texts labels = {}, const std::string& network_of = "") {
    Container out;
    out.id = ContainerId(n);
    out.name = absl::StrCat("name-", n);
    out.source = "first";
    out.labels = std::move(labels);
    out.network_of = network_of;
    return out;
  }
  void Told(const Container& container) { membership_.OnContainer(container, now_, &decisions_); }
  void Wait(uint64_t ns) {
    now_ += ns;
    membership_.Tick(now_, &decisions_);
  }
  // "member:id:role" of each decision since the last call, "-" where it is nobody's.
  std::vector<std::string> Take() {
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
  Membership membership_{{.rules = {Rule(SelectionRule::By::kLabel, "id"),
                                    Rule(SelectionRule::By::kCgroup, "^/box/(?P<id>[^/]+)$")},
                          .wait_ns = 5 * kSecond,
                          .sidecars = {"egress"}}};
  std::vector<Decision> decisions_;
};

TEST_F(MembershipTest, APathNeedsNobody) {
  membership_.OnCandidate({.member = 7, .cgroup_id = 1, .cgroup = "/box/one", .born_ns = now_},
                          now_, &decisions_);
  EXPECT_EQ(Take(), Out{"7:one:app"});
}

TEST_F(MembershipTest, AContainerWaitsForItsRuntime) {
  Born(1);
  EXPECT_EQ(Take(), Out{});
  EXPECT_EQ(membership_.NextDeadline(), now_ + 5 * kSecond);
  Told(About(1, {{"id", "sb"}}));
  EXPECT_EQ(Take(), Out{"101:sb:app"});
  EXPECT_EQ(membership_.waiting(), 0u);
}

TEST_F(MembershipTest, TheRuntimeMayTellFirst) {
  Told(About(1, {{"id", "sb"}}));
  Born(1);
  EXPECT_EQ(Take(), Out{"101:sb:app"});
}

TEST_F(MembershipTest, AfterTheWaitItIsWhatIsKnown) {
  Born(1);
  Wait(5 * kSecond);
  EXPECT_EQ(Take(), Out{"101:-"});
  // Better late than never.
  Told(About(1, {{"id", "sb"}}));
  EXPECT_EQ(Take(), Out{"101:sb:app"});
}

TEST_F(MembershipTest, WithoutRuntimesNobodyWaits) {
  membership_.NoRuntimes();
  Born(1);
  EXPECT_EQ(Take(), Out{"101:-"});
}

TEST_F(MembershipTest, AnIdentityMayChange) {
  Born(1);
  Told(About(1, {{"id", "a"}}));
  Told(About(1, {{"id", "b"}}));
  Told(About(1, {{"id", "b"}}));
  Told(About(1));
  EXPECT_EQ(Take(), (Out{"101:a:app", "101:b:app", "101:-"}));
}

TEST_F(MembershipTest, TheFirstRuntimeIsBelieved) {
  Born(1);
  Told(About(1, {{"id", "a"}}));
  Container other = About(1, {{"id", "b"}});
  other.source = "second";
  Told(other);
  EXPECT_EQ(Take(), Out{"101:a:app"});
  EXPECT_EQ(membership_.contradictions(), 1u);
}

TEST_F(MembershipTest, ABundleIsLessThanARuntime) {
  Container bundle = About(1);
  bundle.source = "";
  bundle.complete = false;
  Told(bundle);
  Born(1);
  EXPECT_EQ(Take(), Out{});
  Told(About(1, {{"id", "a"}}));
  Told(bundle);
  EXPECT_EQ(Take(), Out{"101:a:app"});
}

TEST_F(MembershipTest, ASharedNetworkJoinsWhicheverComesFirst) {
  Born(1);
  Told(About(1));  // the sidecar, that owns the network
  Born(2);
  Told(About(2, {{"id", "sb"}}, ContainerId(1)));
  EXPECT_EQ(Take(), (Out{"101:-", "102:sb:app", "101:sb:sidecar"}));
  Born(3);
  Told(About(3, {}, ContainerId(2)));
  EXPECT_EQ(Take(), Out{"103:sb:sidecar"});
}

TEST_F(MembershipTest, RolesInAPod) {
  for (int n = 1; n <= 3; ++n) {
    Container container = About(n, {{"id", "sb"}});
    container.pod.name = "pod";
    container.pause = n == 1;
    container.name = n == 2 ? "egress" : "sandbox";
    Born(n);
    Told(container);
  }
  EXPECT_EQ(Take(), (Out{"101:sb:pause", "102:sb:sidecar", "103:sb:app"}));
}

TEST_F(MembershipTest, WhatIsForgottenIsNotDecided) {
  Born(1);
  membership_.Forget(Member(1));
  Told(About(1, {{"id", "sb"}}));
  Wait(10 * kSecond);
  EXPECT_EQ(Take(), Out{});
}

// Any order of births, news, ends and time: each living member is decided after the wait, and by
// its own container only.
TEST_F(MembershipTest, AnyOrder) {
  std::mt19937 random(1);
  std::map<uint64_t, std::string> decided;
  for (int step = 0; step < 20'000; ++step) {
    const int n = static_cast<int>(random() % 50);
    switch (random() % 5) {
      case 0:
        Born(n);
        break;
      case 1:
        Told(About(n, {{"id", absl::StrCat("sb-", n)}}));
        break;
      case 2:
        Wait(random() % kSecond);
        break;
      case 3:
        if (random() % 10 == 0) {
          membership_.Forget(Member(n));
          decided.erase(Member(n));
        }
        break;
      default:
        Told(About(n));
    }
    for (const Decision& d : decisions_) {
      decided[d.candidate.member] = d.selected ? d.selected->id : "-";
      if (d.selected) {
        ASSERT_EQ(d.selected->id, absl::StrCat("sb-", d.candidate.member - 100));
      }
    }
    decisions_.clear();
  }
  Wait(10 * kSecond);
  EXPECT_EQ(membership_.waiting(), 0u);
}

TEST_F(MembershipTest, MemoryIsBounded) {
  Membership small({.rules = {Rule(SelectionRule::By::kLabel, "id")},
                    .wait_ns = kSecond,
                    .sidecars = {},
                    .rejected_max = 10,
                    .containers_max = 10});
  for (int n = 0; n < 1000; ++n) {
    small.OnCandidate({.member = Member(n),
                       .cgroup_id = 1,
                       .cgroup = "/docker/" + ContainerId(n),
                       .born_ns = now_},
                      now_, &decisions_);
    small.OnContainer(About(n), now_, &decisions_);
  }
  EXPECT_EQ(decisions_.size(), 1000u);
  EXPECT_LE(small.size(), 10u);
}

}  // namespace
}  // namespace sandpiper
