// SPDX-License-Identifier: Apache-2.0
#include "userspace/attribution/member_table.h"

#include <gtest/gtest.h>

#include "tests/unit/fake_kernel_tables.h"
#include "userspace/base/clock.h"

namespace sandpiper {
namespace {

using testing::FakeCgroups;
using testing::FakeKernelTables;

constexpr uint64_t kForever = std::numeric_limits<uint64_t>::max();

class MemberTableTest : public ::testing::Test {
 protected:
  // Adds the cgroup as a member and watches it.
  uint64_t Add(uint64_t serial, uint64_t sandbox, const std::string& cgroup) {
    const uint64_t id = cgroups_.Create(cgroup);
    Member member;
    member.sandbox = sandbox;
    member.cgroup_id = id;
    member.path = cgroups_.mount() + cgroup;
    EXPECT_TRUE(members_.Put(serial, member).ok());
    EXPECT_TRUE(members_.WatchCgroups(serial).ok());
    return id;
  }
  // Ends all members that are due. Returns their serials.
  std::vector<uint64_t> RemoveEnded(uint64_t until_ns = kForever) {
    std::vector<uint64_t> out;
    members_.RemoveEnded(until_ns, [&](uint64_t serial, const Member&, const KernelCounts& counts) {
      out.push_back(serial);
      last_counts_ = counts;
    });
    return out;
  }

  FakeCgroups cgroups_;
  FakeKernelTables tables_;
  MemberTable members_{&tables_, cgroups_.hierarchy()};
  KernelCounts last_counts_;
};

TEST_F(MemberTableTest, PutAddsCountersToTheKernelsTable) {
  ASSERT_TRUE(members_.Put(7, {.sandbox = 1}).ok());
  EXPECT_TRUE(tables_.counters.contains(7));
  EXPECT_EQ(members_.Find(7)->sandbox, 1u);
  EXPECT_EQ(members_.Find(8), nullptr);
}

TEST_F(MemberTableTest, PutAcceptsAMemberThatTheBpfProgramsAdded) {
  tables_.counters[7].produced[1] = 5;
  ASSERT_TRUE(members_.Put(7, {.sandbox = 1}).ok());
  EXPECT_EQ(members_.CountsOf(7, *members_.Find(7)).produced[1], 5u);
}

TEST_F(MemberTableTest, PutFailsIfTheKernelsTableIsFull) {
  tables_.capacity = 1;
  ASSERT_TRUE(members_.Put(1, {.sandbox = 1}).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(members_.Put(2, {.sandbox = 2})));
  EXPECT_EQ(members_.Find(2), nullptr);
  EXPECT_FALSE(members_.HasAny(2));
}

TEST_F(MemberTableTest, NestedCgroupsAreWatchedToo) {
  const uint64_t inner = cgroups_.Create("/box/inner/most");
  const uint64_t top = Add(1, 1, "/box");
  EXPECT_EQ(tables_.MemberOf(top), 1u);
  EXPECT_EQ(tables_.MemberOf(inner), 1u);
}

TEST_F(MemberTableTest, NestedSandboxKeepsItsCgroup) {
  const uint64_t inner = Add(2, 2, "/box/inner");
  const uint64_t top = Add(1, 1, "/box");
  EXPECT_EQ(tables_.MemberOf(top), 1u);
  EXPECT_EQ(tables_.MemberOf(inner), 2u);
}

TEST_F(MemberTableTest, CgroupsOfTheFormerOwnerChangeHands) {
  const uint64_t inner = cgroups_.Create("/box/inner");
  Add(1, 1, "/box");
  const uint64_t top = Add(2, 2, "/box");
  EXPECT_EQ(tables_.MemberOf(top), 2u);
  EXPECT_EQ(tables_.MemberOf(inner), 2u);
}

TEST_F(MemberTableTest, WatchErrorIsReturned) {
  tables_.watch_error = absl::ResourceExhaustedError("full");
  ASSERT_TRUE(members_.Put(1, {.sandbox = 1, .cgroup_id = cgroups_.Create("/box")}).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(members_.WatchCgroups(1)));
}

TEST_F(MemberTableTest, RemovedMemberIsWatchedForASecondMore) {
  const uint64_t id = Add(1, 1, "/box");
  members_.OnRemoved(1, 10 * kSecond);
  EXPECT_FALSE(members_.HasExisting(1));
  EXPECT_TRUE(members_.HasAny(1));
  EXPECT_EQ(members_.NextDeadline(), 11 * kSecond);
  members_.ExpireDue(11 * kSecond - 1);
  EXPECT_EQ(tables_.MemberOf(id), 1u);
  members_.ExpireDue(11 * kSecond);
  EXPECT_EQ(tables_.MemberOf(id), 0u);
}

TEST_F(MemberTableTest, SecondRemovalDoesNotProlongTheSecond) {
  Add(1, 1, "/box");
  members_.OnRemoved(1, 10 * kSecond);
  members_.OnRemoved(1, 20 * kSecond);
  EXPECT_EQ(members_.Find(1)->removed_ns, 10 * kSecond);
}

TEST_F(MemberTableTest, LaterRemovalKeepsItsOwnDeadline) {
  Add(1, 1, "/one");
  const uint64_t two = Add(2, 2, "/two");
  members_.OnRemoved(1, 10 * kSecond);
  members_.OnRemoved(2, 10 * kSecond + kSecond / 2);
  members_.ExpireDue(11 * kSecond);
  EXPECT_EQ(tables_.MemberOf(two), 2u);
  members_.ExpireDue(11 * kSecond + kSecond / 2);
  EXPECT_EQ(tables_.MemberOf(two), 0u);
}

TEST_F(MemberTableTest, MemberEndsOnlyAfterItsEventsWereProcessed) {
  Add(1, 1, "/box");
  members_.OnRemoved(1, 1);
  const uint64_t before = BootNow();
  members_.ExpireDue(2 * kSecond);
  EXPECT_TRUE(RemoveEnded(before - 1).empty());
  EXPECT_NE(members_.Find(1), nullptr);
  EXPECT_EQ(RemoveEnded(BootNow()), std::vector<uint64_t>{1});
  EXPECT_EQ(members_.Find(1), nullptr);
  EXPECT_FALSE(tables_.counters.contains(1));
}

TEST_F(MemberTableTest, ExistingMemberDoesNotEnd) {
  Add(1, 1, "/box");
  members_.ExpireDue(kForever);
  EXPECT_TRUE(RemoveEnded().empty());
  EXPECT_EQ(members_.NextDeadline(), kForever);
}

TEST_F(MemberTableTest, LastCountersAreReadBeforeTheyAreRemoved) {
  Add(1, 1, "/box");
  members_.OnRemoved(1, 1);
  members_.ExpireDue(2 * kSecond);
  tables_.counters[1].dropped[3] = 4;
  RemoveEnded();
  EXPECT_EQ(last_counts_.dropped[3], 4u);
}

TEST_F(MemberTableTest, CountsStartAtTheLastChangeOfSandbox) {
  Add(1, 1, "/box");
  tables_.counters[1].produced[2] = 10;
  Member moved = *members_.Find(1);
  moved.sandbox = 2;
  moved.before = std::make_shared<KernelCounts>(members_.CountsOf(1, *members_.Find(1)));
  ASSERT_TRUE(members_.Put(1, moved).ok());
  tables_.counters[1].produced[2] = 13;
  const auto counts = members_.CountsBySandbox();
  EXPECT_FALSE(counts.contains(1));
  EXPECT_EQ(counts.at(2).produced[2], 3u);
}

TEST_F(MemberTableTest, CountsOfAllMembersAreSummed) {
  Add(1, 1, "/one");
  Add(2, 1, "/two");
  tables_.counters[1].network_io[DIRECTION_SENT] = 100;
  tables_.counters[2].network_io[DIRECTION_SENT] = 20;
  tables_.counters[2].network_io[DIRECTION_RECEIVED] = 3;
  EXPECT_EQ(members_.CountsBySandbox().at(1).sent, 120u);
  EXPECT_EQ(members_.CountsBySandbox().at(1).received, 3u);
}

TEST_F(MemberTableTest, RemovalWithoutEventIsDetected) {
  Add(1, 1, "/box");
  members_.DetectRemoved(5);
  EXPECT_EQ(members_.Find(1)->removed_ns, 0u);
  cgroups_.Remove("/box");
  members_.DetectRemoved(6);
  EXPECT_EQ(members_.Find(1)->removed_ns, 6u);
}

TEST_F(MemberTableTest, PathThatANewCgroupUsesCountsAsRemoved) {
  const uint64_t id = Add(1, 1, "/box");
  cgroups_.SetId("/box", id + 1);
  members_.DetectRemoved(6);
  EXPECT_EQ(members_.Find(1)->removed_ns, 6u);
}

TEST_F(MemberTableTest, AnyOfPrefersAMemberThatExists) {
  Add(1, 1, "/one");
  Add(2, 1, "/two");
  members_.OnRemoved(1, 5);
  EXPECT_EQ(members_.AnyOf(1), 2u);
  members_.OnRemoved(2, 5);
  EXPECT_NE(members_.AnyOf(1), 0u);
  EXPECT_EQ(members_.AnyOf(9), 0u);
}

TEST_F(MemberTableTest, ProcessesOfAllCgroupsAreListed) {
  Add(1, 1, "/one");
  Add(2, 1, "/two");
  Add(3, 2, "/other");
  cgroups_.Write("/one/cgroup.procs", "11\n12\n");
  cgroups_.Write("/two/cgroup.procs", "13\n");
  cgroups_.Write("/other/cgroup.procs", "14\n");
  EXPECT_EQ(members_.ProcessesOf(1), (std::vector<pid_t>{11, 12, 13}));
}

TEST_F(MemberTableTest, CpuTimeBeforeTheChangeOfSandboxIsSubtracted) {
  Member member;
  member.use = {.user_seconds = 5, .system_seconds = 3, .memory_bytes = 100, .processes = 2};
  member.use_before = {.user_seconds = 4, .system_seconds = 1, .memory_bytes = 80, .processes = 1};
  const ResourceUse use = MemberTable::UseOf(member);
  EXPECT_EQ(use.user_seconds, 1);
  EXPECT_EQ(use.system_seconds, 2);
  EXPECT_EQ(use.memory_bytes, 100u);
  EXPECT_EQ(use.processes, 2u);
}

TEST_F(MemberTableTest, RemovedCgroupKeepsItsCpuTimeAndLosesItsMemory) {
  Add(1, 1, "/box");
  cgroups_.Write("/box/cpu.stat", "usage_usec 3\nuser_usec 2000000\nsystem_usec 1000000\n");
  members_.ReadUse();
  EXPECT_EQ(members_.UseBySandbox().at(1).user_seconds, 2);
  members_.Find(1)->use.memory_bytes = 7;
  cgroups_.Remove("/box");
  members_.ReadUse();
  EXPECT_EQ(members_.UseBySandbox().at(1).user_seconds, 2);
  EXPECT_EQ(members_.UseBySandbox().at(1).memory_bytes, 0u);
}

TEST_F(MemberTableTest, DeviceHasNoResourceUse) {
  ASSERT_TRUE(members_.Put(1, {.sandbox = 1, .device = "tap0"}).ok());
  EXPECT_TRUE(members_.UseBySandbox().empty());
}

}  // namespace
}  // namespace sandpiper
