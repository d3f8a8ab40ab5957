// SPDX-License-Identifier: Apache-2.0
#include "userspace/attribution/attribution.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "bpf/events.h"
#include "tests/unit/fake_kernel_tables.h"
#include "userspace/base/clock.h"

namespace sandpiper {
namespace {

using testing::FakeCgroups;
using testing::FakeKernelTables;

constexpr uint64_t kFound = 1'000'000;  // the first member that the BPF programs number

std::string ContainerId(int n) { return absl::StrCat(std::string(60, '0'), 1000 + n); }

class AttributionTest : public ::testing::Test {
 protected:
  AttributionTest() {
    options_.rules = {*MakeRule(SelectionRule::By::kLabel, "id"),
                      *MakeRule(SelectionRule::By::kCgroup, "^/box/sb-(?P<id>[^/]+)$")};
    options_.bundle_folders = {};
    options_.metadata_wait = std::chrono::milliseconds(5'000);
  }
  // A runtime that does not answer: containers wait for it.
  void UseRuntime() {
    options_.sockets = {{.api = RuntimeSocket::Api::kEngine, .path = "/nonexistent/runtime.sock"}};
  }
  Attribution& attribution() {
    if (!attribution_)
      attribution_ = std::make_unique<Attribution>(
          &tables_, cgroups_.hierarchy(), options_,
          [this](const Decision& decision, PendingEvents pending) {
            log_.push_back(absl::StrCat(decision.candidate.member, ":", decision.selected->id));
            pending_ = std::move(pending);
          },
          [this](uint64_t member) { log_.push_back(absl::StrCat(member, ":released")); },
          [this](const std::string& warning) { warnings_.push_back(warning); });
    return *attribution_;
  }
  // The BPF programs found and watched a new cgroup.
  void Found(uint64_t member, const std::string& cgroup) {
    const uint64_t id = cgroup.empty() ? 1 : cgroups_.Create(cgroup);
    tables_.counters[member] = {};
    tables_.owners[id] = {.member = member, .sandbox = member};
    attribution().OnCgroupCreated({.time_ns = now_,
                                   .member = member,
                                   .cgroup_id = id,
                                   .kind = EVENT_CGROUP_CREATED,
                                   .body = CgroupCreated{.path = cgroup}});
  }
  static std::string PathOf(int container) { return "/docker/" + ContainerId(container); }
  void Report(int n, const std::string& label, const std::string& source = "first") {
    Container container;
    container.id = ContainerId(n);
    container.source = source;
    if (!label.empty())
      container.labels = {{"id", label}};
    attribution().OnContainer(container, now_);
  }
  bool HoldBack(uint64_t member, uint16_t kind = EVENT_EXIT) {
    return attribution().HoldBack({.member = member, .kind = kind, .body = Exit{}});
  }
  int Warnings(const std::string& text) const {
    return static_cast<int>(std::count_if(
        warnings_.begin(), warnings_.end(),
        [&](const std::string& warning) { return warning.find(text) != std::string::npos; }));
  }
  using Log = std::vector<std::string>;

  uint64_t now_ = BootNow();
  DiscoveryOptions options_;
  FakeCgroups cgroups_;
  FakeKernelTables tables_;
  Log log_;
  PendingEvents pending_;
  std::vector<std::string> warnings_;
  std::unique_ptr<Attribution> attribution_;  // last: it uses the others
};

TEST_F(AttributionTest, ScanFindsCgroupsThatMatchARule) {
  const uint64_t id = cgroups_.Create("/box/sb-one");
  cgroups_.Create("/other/two");
  attribution().Scan({});
  EXPECT_EQ(log_, Log{"1:one"});
  EXPECT_EQ(tables_.MemberOf(id), 1u);
}

TEST_F(AttributionTest, ScanWatchesWhatIsBelowACandidate) {
  cgroups_.Create("/box/sb-one");
  const uint64_t inner = cgroups_.Create("/box/sb-one/inner");
  attribution().Scan({});
  EXPECT_EQ(tables_.MemberOf(inner), 1u);
  EXPECT_EQ(log_.size(), 1u);
}

TEST_F(AttributionTest, ScanLeavesOutTakenCgroups) {
  cgroups_.Create("/box/sb-one");
  cgroups_.Create("/box/sb-two");
  attribution().Scan({cgroups_.mount() + "/box/sb-one"});
  EXPECT_EQ(log_, Log{"1:two"});
}

TEST_F(AttributionTest, ScanLeavesOutCgroupsThatTheBpfProgramsFound) {
  const uint64_t id = cgroups_.Create("/box/sb-one");
  tables_.owners[id] = {.member = kFound, .sandbox = kFound};
  attribution().Scan({});
  EXPECT_EQ(log_, Log{});
  EXPECT_EQ(tables_.MemberOf(id), kFound);
  EXPECT_TRUE(tables_.counters.empty());
}

TEST_F(AttributionTest, ScanSkipsCandidatesWithoutRoomInTheTable) {
  tables_.capacity = 1;
  cgroups_.Create("/box/sb-one");
  cgroups_.Create("/box/sb-two");
  attribution().Scan({});
  EXPECT_EQ(log_.size(), 1u);
}

TEST_F(AttributionTest, ScanWithoutRulesFindsNothing) {
  options_.rules = {};
  cgroups_.Create("/box/sb-one");
  attribution().Scan({});
  EXPECT_TRUE(tables_.owners.empty());
}

TEST_F(AttributionTest, CgroupBelowARejectedOneIsFound) {
  options_.rules = {*MakeRule(SelectionRule::By::kLabel, "id"),
                    *MakeRule(SelectionRule::By::kCgroup, "/inner$")};
  cgroups_.Create(PathOf(1) + "/inner");
  attribution().Scan({});
  EXPECT_EQ(log_, Log{"2:inner"});
}

TEST_F(AttributionTest, PathRuleDecidesAtOnce) {
  UseRuntime();
  Found(kFound, "/box/sb-one");
  EXPECT_EQ(log_, Log{absl::StrCat(kFound, ":one")});
  EXPECT_EQ(attribution().waiting(), 0u);
}

TEST_F(AttributionTest, ContainerWaitsForItsRuntime) {
  UseRuntime();
  Found(kFound, PathOf(1));
  EXPECT_EQ(log_, Log{});
  EXPECT_EQ(attribution().waiting(), 1u);
  Report(1, "sb");
  EXPECT_EQ(log_, Log{absl::StrCat(kFound, ":sb")});
  EXPECT_EQ(attribution().waiting(), 0u);
}

TEST_F(AttributionTest, ContainerWithoutRuntimeIsRejectedAtOnce) {
  Found(kFound, PathOf(1));
  EXPECT_EQ(attribution().waiting(), 0u);
  EXPECT_FALSE(tables_.counters.contains(kFound));
}

TEST_F(AttributionTest, ContainerIsRejectedAfterTheWait) {
  UseRuntime();
  Found(kFound, PathOf(1));
  attribution().Poll(now_ + 5 * kSecond - 1);
  EXPECT_EQ(attribution().waiting(), 1u);
  attribution().Poll(now_ + 5 * kSecond);
  EXPECT_EQ(attribution().waiting(), 0u);
  EXPECT_EQ(log_, Log{});
  EXPECT_TRUE(tables_.owners.empty());
  EXPECT_FALSE(tables_.counters.contains(kFound));
}

TEST_F(AttributionTest, RejectedContainerIsUnwatchedWithAllBelow) {
  UseRuntime();
  Found(kFound, PathOf(1));
  const uint64_t inner = cgroups_.Create(PathOf(1) + "/inner");
  const uint64_t other = cgroups_.Create(PathOf(1) + "/other");
  tables_.owners[inner] = {.member = kFound, .sandbox = kFound};
  tables_.owners[other] = {.member = 9, .sandbox = 9};
  Report(1, "");
  EXPECT_EQ(tables_.MemberOf(inner), 0u);
  EXPECT_EQ(tables_.MemberOf(other), 9u);
}

TEST_F(AttributionTest, LateReportAttributesARejectedContainer) {
  UseRuntime();
  Found(kFound, PathOf(1));
  attribution().Poll(now_ + 5 * kSecond);
  Report(1, "sb");
  EXPECT_EQ(log_, Log{absl::StrCat(kFound, ":sb")});
  EXPECT_FALSE(HoldBack(kFound));
}

TEST_F(AttributionTest, ChangedLabelMovesTheMember) {
  UseRuntime();
  Found(kFound, PathOf(1));
  Report(1, "a");
  Report(1, "b");
  EXPECT_EQ(log_, (Log{absl::StrCat(kFound, ":a"), absl::StrCat(kFound, ":b")}));
}

TEST_F(AttributionTest, RemovedLabelReleasesTheMember) {
  UseRuntime();
  Found(kFound, PathOf(1));
  Report(1, "a");
  Report(1, "");
  EXPECT_EQ(log_.back(), absl::StrCat(kFound, ":released"));
}

TEST_F(AttributionTest, SecondRuntimeIsIgnoredAndWarnedAboutOnce) {
  UseRuntime();
  Found(kFound, PathOf(1));
  Report(1, "a", "first");
  Report(1, "b", "second");
  attribution().Poll(now_);
  Report(1, "c", "second");
  attribution().Poll(now_);
  EXPECT_EQ(log_, Log{absl::StrCat(kFound, ":a")});
  EXPECT_EQ(Warnings("two runtimes report the same container"), 1);
}

TEST_F(AttributionTest, EventsAreKeptUntilTheDecision) {
  UseRuntime();
  Found(kFound, PathOf(1));
  EXPECT_TRUE(HoldBack(kFound, EVENT_EXEC));
  EXPECT_TRUE(HoldBack(kFound, EVENT_EXIT));
  Report(1, "sb");
  ASSERT_EQ(pending_.events.size(), 2u);
  EXPECT_EQ(pending_.events[0].kind, EVENT_EXEC);
  EXPECT_EQ(pending_.events[1].kind, EVENT_EXIT);
  EXPECT_TRUE(pending_.lost.empty());
  EXPECT_FALSE(HoldBack(kFound));
}

TEST_F(AttributionTest, EventsOverTheLimitAreCounted) {
  UseRuntime();
  Found(kFound, PathOf(1));
  for (int i = 0; i < 4'096; ++i)
    EXPECT_TRUE(HoldBack(kFound, EVENT_EXEC));
  EXPECT_TRUE(HoldBack(kFound, EVENT_CONNECT));
  EXPECT_TRUE(HoldBack(kFound, EVENT_CONNECT));
  Report(1, "sb");
  EXPECT_EQ(pending_.events.size(), 4'096u);
  EXPECT_EQ(pending_.lost, (std::map<uint16_t, uint64_t>{{EVENT_CONNECT, 2}}));
}

TEST_F(AttributionTest, EventsOfAllMembersShareALimit) {
  UseRuntime();
  for (int n = 0; n < 17; ++n) {
    Found(kFound + static_cast<uint64_t>(n), PathOf(n));
    for (int i = 0; i < 4'096; ++i)
      HoldBack(kFound + static_cast<uint64_t>(n));
  }
  Report(16, "sb");
  EXPECT_TRUE(pending_.events.empty());
  EXPECT_EQ(pending_.lost[EVENT_EXIT], 4'096u);
  // A decision makes room again.
  Report(0, "sb");
  Found(kFound + 20, PathOf(20));
  HoldBack(kFound + 20);
  Report(20, "sb");
  EXPECT_EQ(pending_.events.size(), 1u);
}

TEST_F(AttributionTest, LateEventsOfARejectedMemberAreIgnored) {
  Found(kFound, PathOf(1));
  EXPECT_TRUE(HoldBack(kFound));
  attribution().Poll(BootNow() + 5 * kSecond);
  EXPECT_TRUE(HoldBack(kFound));
  attribution().Poll(BootNow() + 11 * kSecond);
  EXPECT_FALSE(HoldBack(kFound));
}

TEST_F(AttributionTest, EventsOfOtherMembersAreDelivered) {
  UseRuntime();
  Found(kFound, PathOf(1));
  EXPECT_FALSE(HoldBack(kFound + 1));
  EXPECT_FALSE(HoldBack(0));
}

TEST_F(AttributionTest, TooLongPathIsRejectedWithAWarning) {
  Found(kFound, "");
  EXPECT_EQ(Warnings("longer than 510 bytes"), 1);
  EXPECT_TRUE(tables_.owners.empty());
  EXPECT_TRUE(HoldBack(kFound));
}

TEST_F(AttributionTest, DroppedNewCgroupsLeadToAScan) {
  attribution().Scan({});
  cgroups_.Create("/box/sb-one");
  attribution().Poll(now_ + kSecond);
  EXPECT_EQ(log_, Log{});
  tables_.dropped_cgroups = 3;
  attribution().Poll(now_ + 2 * kSecond);
  EXPECT_EQ(log_, Log{"1:one"});
  EXPECT_EQ(Warnings("events of new cgroups were dropped"), 1);
  attribution().Poll(now_ + 4 * kSecond);
  EXPECT_EQ(Warnings("events of new cgroups were dropped"), 1);
}

TEST_F(AttributionTest, ScanAfterDroppedCgroupsLeavesOutTakenOnes) {
  cgroups_.Create("/box/sb-one");
  attribution().Scan({cgroups_.mount() + "/box/sb-one"});
  tables_.dropped_cgroups = 1;
  attribution().Poll(now_ + 2 * kSecond);
  EXPECT_EQ(log_, Log{});
}

TEST_F(AttributionTest, DrainDecidesWithoutWaiting) {
  UseRuntime();
  Found(kFound, PathOf(1));
  attribution().Drain();
  EXPECT_EQ(attribution().waiting(), 0u);
  EXPECT_TRUE(tables_.owners.empty());
}

TEST_F(AttributionTest, ForgottenMemberIsNotDecided) {
  UseRuntime();
  Found(kFound, PathOf(1));
  Report(1, "a");
  attribution().Forget(kFound);
  Report(1, "b");
  EXPECT_EQ(log_, Log{absl::StrCat(kFound, ":a")});
}

TEST_F(AttributionTest, WaitUntilDecidedEndsAtItsLimit) {
  UseRuntime();
  Found(kFound, PathOf(1));
  attribution().WaitUntilDecided(std::chrono::milliseconds(1));
  EXPECT_EQ(attribution().waiting(), 1u);
}

TEST(SetDiscovery, AsksForContainersAndNamePrefixes) {
  ProbeOptions probes;
  DiscoveryOptions options;
  options.rules = {*MakeRule(SelectionRule::By::kCgroup, "^/e2b/sbx-(?P<id>.+)$")};
  SetDiscovery(options, &probes);
  EXPECT_FALSE(probes.discover_containers);
  EXPECT_EQ(probes.discover_prefixes, std::vector<std::string>{"sbx-"});
  options.rules.push_back(*MakeRule(SelectionRule::By::kLabel, "id"));
  SetDiscovery(options, &probes);
  EXPECT_TRUE(probes.discover_containers);
}

}  // namespace
}  // namespace sandpiper
