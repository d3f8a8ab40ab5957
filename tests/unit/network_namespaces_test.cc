// SPDX-License-Identifier: Apache-2.0
#include "userspace/attribution/network_namespaces.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <limits>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "userspace/base/clock.h"

namespace sandpiper {
namespace {

class NetworkNamespacesTest : public ::testing::Test {
 protected:
  UniqueFd Open(pid_t pid, uint32_t netns) const {
    return processes_.contains({pid, netns}) ? UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC))
                                             : UniqueFd();
  }
  // The owners that were set since the last call, "netns:sandbox:use".
  std::vector<std::string> Owners() { return std::exchange(owners_, {}); }
  // A rule set was read in the namespace.
  void Read(uint32_t netns, uint32_t generation, uint64_t rules) {
    Ruleset ruleset;
    ruleset.generation = generation;
    ruleset.present = true;
    ruleset.static_count = rules;
    namespaces_.OnNews({.netns = netns, .reading = ruleset, .complete_ns = now_});
  }
  using Log = std::vector<std::string>;

  uint64_t now_ = 100 * kSecond;
  std::set<std::pair<pid_t, uint32_t>> processes_;     // and the namespace that each is in
  std::map<uint64_t, std::vector<pid_t>> by_sandbox_;  // processes that are looked at
  std::set<pid_t> shared_with_parent_;
  Log owners_;
  std::map<uint64_t, int> published_;  // outcomes, by sandbox
  NetworkNamespaces namespaces_{
      [this](uint64_t sandbox) { return by_sandbox_[sandbox]; },
      [this](uint64_t sandbox, const RulesetOutcome&) { ++published_[sandbox]; },
      [this](uint32_t netns, uint64_t sandbox, NamespaceUse use) {
        owners_.push_back(absl::StrCat(
            netns, ":", sandbox, ":",
            sandbox == 0 ? "-" : (use == NamespaceUse::kExclusive ? "exclusive" : "shared")));
      },
      {.open = [this](pid_t pid, uint32_t netns) { return Open(pid, netns); },
       .is_shared_with_parent = [this](pid_t pid,
                                       uint32_t) { return shared_with_parent_.contains(pid); }}};
};

TEST_F(NetworkNamespacesTest, FirstProcessMakesItsSandboxTheOwner) {
  processes_ = {{10, 5}};
  namespaces_.Enter(1, 5, 10);
  EXPECT_EQ(Owners(), Log{"5:1:exclusive"});
  namespaces_.Enter(1, 5, 11);
  EXPECT_EQ(Owners(), Log{});
}

TEST_F(NetworkNamespacesTest, UnknownInodeNumberIsIgnored) {
  namespaces_.Enter(1, 0, 10);
  EXPECT_EQ(Owners(), Log{});
}

TEST_F(NetworkNamespacesTest, SecondSandboxMakesItShared) {
  processes_ = {{10, 5}, {20, 5}};
  namespaces_.Enter(1, 5, 10);
  namespaces_.Enter(2, 5, 20);
  EXPECT_EQ(Owners(), (Log{"5:1:exclusive", "5:1:shared"}));
}

TEST_F(NetworkNamespacesTest, NamespaceOfTheParentIsShared) {
  processes_ = {{10, 5}};
  shared_with_parent_ = {10};
  namespaces_.Enter(1, 5, 10);
  EXPECT_EQ(Owners(), Log{"5:1:shared"});
}

TEST_F(NetworkNamespacesTest, EndedProcessIsReplacedByAnotherOfTheSandbox) {
  processes_ = {{12, 5}};
  by_sandbox_[1] = {11, 12};
  namespaces_.Enter(1, 5, 10);
  EXPECT_EQ(Owners(), Log{"5:1:exclusive"});
}

TEST_F(NetworkNamespacesTest, NamespaceWithoutProcessHasNoOwner) {
  by_sandbox_[1] = {11};
  namespaces_.Enter(1, 5, 10);
  EXPECT_EQ(Owners(), Log{"5:0:-"});
  EXPECT_EQ(namespaces_.StaticRules(1), std::nullopt);
}

TEST_F(NetworkNamespacesTest, EmptyNamespaceIsReleasedAfterAnExit) {
  processes_ = {{10, 5}};
  namespaces_.Enter(1, 5, 10);
  Owners();
  processes_.clear();
  namespaces_.Poll(now_);
  EXPECT_EQ(Owners(), Log{});
  namespaces_.OnExit(1);
  namespaces_.Poll(now_);
  EXPECT_EQ(Owners(), Log{"5:0:-"});
}

TEST_F(NetworkNamespacesTest, NamespaceWithAProcessIsKeptAfterAnExit) {
  processes_ = {{10, 5}, {11, 5}};
  by_sandbox_[1] = {11};
  namespaces_.Enter(1, 5, 10);
  Owners();
  namespaces_.OnExit(1);
  namespaces_.Poll(now_);
  EXPECT_EQ(Owners(), Log{});
  // Nothing is left to check.
  EXPECT_EQ(namespaces_.NextDeadline(), std::numeric_limits<uint64_t>::max());
}

TEST_F(NetworkNamespacesTest, ExitOfOneSandboxKeepsTheNamespaceOfTheOther) {
  processes_ = {{10, 5}, {20, 5}};
  by_sandbox_[2] = {20};
  namespaces_.Enter(1, 5, 10);
  namespaces_.Enter(2, 5, 20);
  Owners();
  namespaces_.OnExit(1);
  namespaces_.Poll(now_);
  EXPECT_EQ(Owners(), Log{});
}

TEST_F(NetworkNamespacesTest, ExitsAreCheckedOnceASecond) {
  processes_ = {{10, 5}};
  by_sandbox_[1] = {10};
  namespaces_.Enter(1, 5, 10);
  Owners();
  namespaces_.OnExit(1);
  namespaces_.Poll(now_);
  processes_.clear();
  namespaces_.OnExit(1);
  EXPECT_EQ(namespaces_.NextDeadline(), now_ + kSecond);
  namespaces_.Poll(now_ + kSecond - 1);
  EXPECT_EQ(Owners(), Log{});
  namespaces_.Poll(now_ + kSecond);
  EXPECT_EQ(Owners(), Log{"5:0:-"});
}

TEST_F(NetworkNamespacesTest, RemovedMemberPublishesTheOwnerAgain) {
  processes_ = {{10, 5}, {10, 6}, {20, 7}};
  namespaces_.Enter(1, 5, 10);
  namespaces_.Enter(1, 6, 10);
  namespaces_.Enter(2, 7, 20);
  Owners();
  namespaces_.OnMemberRemoved(1);
  EXPECT_EQ(Owners(), (Log{"5:1:exclusive", "6:1:exclusive"}));
}

TEST_F(NetworkNamespacesTest, EndOfTheOnlySandboxReleasesTheNamespace) {
  processes_ = {{10, 5}};
  namespaces_.Enter(1, 5, 10);
  Owners();
  namespaces_.OnSandboxEnd(1, now_);
  EXPECT_EQ(Owners(), Log{"5:0:-"});
}

TEST_F(NetworkNamespacesTest, EndOfOneSandboxLeavesTheNamespaceToTheOther) {
  processes_ = {{10, 5}, {20, 5}};
  namespaces_.Enter(1, 5, 10);
  namespaces_.Enter(2, 5, 20);
  Owners();
  namespaces_.OnSandboxEnd(1, now_);
  EXPECT_EQ(Owners(), Log{"5:2:exclusive"});
}

TEST_F(NetworkNamespacesTest, RulesArePublishedToEachSandboxOfTheNamespace) {
  processes_ = {{10, 5}, {20, 5}, {30, 6}};
  namespaces_.Enter(1, 5, 10);
  namespaces_.Enter(2, 5, 20);
  namespaces_.Enter(3, 6, 30);
  Read(5, 3, 8);
  namespaces_.Drain(now_);
  EXPECT_EQ(published_, (std::map<uint64_t, int>{{1, 1}, {2, 1}}));
}

TEST_F(NetworkNamespacesTest, NewsOfAReleasedNamespaceIsIgnored) {
  processes_ = {{10, 5}};
  namespaces_.Enter(1, 5, 10);
  namespaces_.OnSandboxEnd(1, now_);
  published_.clear();
  Read(5, 3, 8);
  namespaces_.Drain(now_);
  EXPECT_TRUE(published_.empty());
}

TEST_F(NetworkNamespacesTest, EndingSandboxGetsItsLastRules) {
  processes_ = {{10, 5}};
  namespaces_.Enter(1, 5, 10);
  Read(5, 3, 8);
  namespaces_.OnSandboxEnd(1, now_);
  EXPECT_EQ(published_[1], 1);
}

TEST_F(NetworkNamespacesTest, StaticRulesOfAllNamespacesAreSummed) {
  processes_ = {{10, 5}, {10, 6}};
  namespaces_.Enter(1, 5, 10);
  namespaces_.Enter(1, 6, 10);
  Read(5, 3, 8);
  namespaces_.Drain(now_);
  EXPECT_EQ(namespaces_.StaticRules(1), std::nullopt);
  Read(6, 1, 2);
  namespaces_.Drain(now_);
  EXPECT_EQ(namespaces_.StaticRules(1), 10u);
}

TEST_F(NetworkNamespacesTest, ChangeInAnUnknownNamespaceIsPublishedAtOnce) {
  namespaces_.OnChange({.netns = 5, .process = {10, 1}}, 1, now_);
  EXPECT_EQ(published_[1], 1);
}

TEST_F(NetworkNamespacesTest, ChangeEntersTheNamespaceOfItsProcess) {
  processes_ = {{10, 5}};
  namespaces_.OnChange({.netns = 5, .process = {10, 1}}, 1, now_);
  EXPECT_EQ(Owners(), Log{"5:1:exclusive"});
}

TEST(OpenNamespaceOf, ChecksTheInodeNumber) {
  const uint32_t own = OwnNetworkNamespace();
  ASSERT_NE(own, 0u);
  EXPECT_TRUE(OpenNamespaceOf(getpid(), own).ok());
  EXPECT_FALSE(OpenNamespaceOf(getpid(), own + 1).ok());
}

}  // namespace
}  // namespace sandpiper
