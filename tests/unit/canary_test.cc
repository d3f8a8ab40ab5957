// SPDX-License-Identifier: Apache-2.0
#include "userspace/canary/canary.h"

#include <gtest/gtest.h>

#include "bpf/events.h"
#include "tests/unit/fake_kernel_tables.h"
#include "userspace/base/clock.h"
#include "userspace/canary/canary_watch.h"

namespace sandpiper {
namespace {

using testing::FakeCgroups;
using testing::FakeKernelTables;

using Texts = std::vector<std::string>;

constexpr uint16_t kAllKinds[] = {EVENT_EXEC,           EVENT_EXIT,      EVENT_CONNECT,
                                  EVENT_CONNECT_RESULT, EVENT_DNS_QUERY, EVENT_DNS_ANSWER};

EventCounts AllSeen() {
  EventCounts out = {};
  for (const uint16_t kind : kAllKinds)
    out[kind] = 1;
  return out;
}

TEST(FindBlindProbes, AllEventsSeenIsNoBlindProbe) {
  EXPECT_TRUE(FindBlindProbes(AllSeen(), {}).empty());
}

TEST(FindBlindProbes, MissingEventNamesItsProbe) {
  EventCounts seen = AllSeen();
  seen[EVENT_CONNECT] = 0;
  EXPECT_EQ(FindBlindProbes(seen, {}), (std::vector<BlindProbe>{{"connect", {"connect"}}}));
}

TEST(FindBlindProbes, ProbeIsNamedOnceForAllItsEvents) {
  EventCounts seen = AllSeen();
  seen[EVENT_DNS_QUERY] = seen[EVENT_DNS_ANSWER] = 0;
  EXPECT_EQ(FindBlindProbes(seen, {}), (std::vector<BlindProbe>{{"packet", {"lookup", "answer"}}}));
}

TEST(FindBlindProbes, DroppedEventCountsAsReported) {
  EventCounts seen = AllSeen();
  seen[EVENT_EXEC] = seen[EVENT_EXIT] = 0;
  KernelCounts kernel;
  kernel.dropped[EVENT_EXEC] = 1;
  kernel.limited[EVENT_EXIT] = 1;
  EXPECT_TRUE(FindBlindProbes(seen, kernel).empty());
}

class CanaryTest : public ::testing::Test {
 protected:
  TestProcess Process() {
    return {.cgroup = cgroups_.mount() + "/canary",
            .start =
                [this](ProgramErrors errors) {
                  errors_ = errors;
                  ++starts_;
                  return start_error_;
                },
            .poll_status = [this] { return status_; }};
  }
  void Poll() {
    canary_.Poll(now_, [this] { return counts_; });
  }
  void PollWhenDue() {
    now_ = canary_.NextDeadline();
    Poll();
  }
  // One whole run, in which these events are seen.
  void Run(const EventCounts& seen) {
    PollWhenDue();
    for (size_t kind = 0; kind < seen.size(); ++kind) {
      for (uint64_t i = 0; i < seen[kind]; ++i)
        canary_.OnEvent(static_cast<uint16_t>(kind));
    }
    PollWhenDue();
    PollWhenDue();
  }
  static EventCounts Without(uint16_t kind) {
    EventCounts out = AllSeen();
    out[kind] = 0;
    return out;
  }

  FakeCgroups cgroups_;
  uint64_t now_ = kSecond;
  int starts_ = 0;
  ProgramErrors errors_ = ProgramErrors::kShow;
  absl::Status start_error_;
  absl::StatusOr<std::optional<int>> status_ = 0;
  KernelCounts counts_;
  Canary canary_{Process(), {.interval = std::chrono::milliseconds(60'000)}};
};

TEST_F(CanaryTest, CompleteRunIsSilent) {
  Run(AllSeen());
  EXPECT_EQ(starts_, 1);
  EXPECT_TRUE(canary_.blind().empty());
  EXPECT_EQ(canary_.TakeWarnings(), Texts{});
  EXPECT_EQ(canary_.NextDeadline(), now_ + 60 * kSecond);
}

TEST_F(CanaryTest, BlindProbeIsReportedOnce) {
  Run(Without(EVENT_CONNECT));
  EXPECT_EQ(canary_.blind(), Texts{"connect"});
  EXPECT_EQ(canary_.TakeWarnings(),
            Texts{"self-test failed: probe \"connect\" saw no connect of the test process; their "
                  "sandbox events are being lost. Restart sandpiper"});
  Run(Without(EVENT_CONNECT));
  EXPECT_EQ(canary_.TakeWarnings(), Texts{});
}

TEST_F(CanaryTest, EventsOfAnEarlierRunDoNotCount) {
  Run(AllSeen());
  Run({});
  EXPECT_EQ(canary_.blind(), (Texts{"process", "connect", "connect.outcome", "packet"}));
}

TEST_F(CanaryTest, RecoveryIsReported) {
  Run(Without(EVENT_CONNECT));
  canary_.TakeWarnings();
  Run(AllSeen());
  EXPECT_EQ(canary_.TakeWarnings(),
            Texts{"self-test passed again: all probes see the test process"});
}

TEST_F(CanaryTest, OnlyDropsOfThisRunCount) {
  counts_.dropped[EVENT_CONNECT] = 3;
  Run(Without(EVENT_CONNECT));
  EXPECT_EQ(canary_.blind(), Texts{"connect"});
}

TEST_F(CanaryTest, FailedProcessIsNoVerdict) {
  status_ = 1 << 8;
  Run({});
  EXPECT_TRUE(canary_.blind().empty());
  EXPECT_EQ(canary_.problem(), "the test process failed");
  ASSERT_EQ(canary_.TakeWarnings().size(), 1u);
  Run({});
  EXPECT_EQ(canary_.TakeWarnings(), Texts{});
  EXPECT_EQ(errors_, ProgramErrors::kHide);
}

TEST_F(CanaryTest, ProcessThatCannotStartIsTriedAgainLater) {
  start_error_ = absl::UnavailableError("no keeper");
  Poll();
  EXPECT_EQ(canary_.problem(), "cannot start the test process: no keeper");
  EXPECT_EQ(canary_.NextDeadline(), now_ + 60 * kSecond);
  start_error_ = absl::OkStatus();
  Run(AllSeen());
  EXPECT_EQ(canary_.problem(), "");
}

TEST_F(CanaryTest, RunningProcessIsPolledUntilItEnds) {
  status_ = std::nullopt;
  Poll();
  PollWhenDue();
  PollWhenDue();
  EXPECT_EQ(canary_.problem(), "");
  now_ += 21 * kSecond;
  Poll();
  EXPECT_EQ(canary_.problem(), "the test process does not end");
  EXPECT_EQ(starts_, 1);
}

TEST_F(CanaryTest, LostKeeperEndsTheRun) {
  Poll();
  status_ = absl::UnavailableError("the canary-keeper process ended");
  PollWhenDue();
  EXPECT_EQ(canary_.problem(), "the canary-keeper process ended");
  EXPECT_EQ(canary_.NextDeadline(), now_ + 60 * kSecond);
}

class CanaryWatchTest : public CanaryTest {
 protected:
  void Start() {
    id_ = cgroups_.Create("/canary");
    watch_.Start(std::make_unique<Canary>(Process(), Canary::Options{}), 7, 9);
  }
  std::vector<ProbeState> States() const {
    std::vector<ProbeState> out;
    watch_.AppendState(&out);
    return out;
  }

  FakeKernelTables tables_;
  MemberTable members_{&tables_, cgroups_.hierarchy()};
  Texts warnings_;
  uint64_t id_ = 0;
  CanaryWatch watch_{&tables_, &members_, cgroups_.hierarchy(),
                     [this](const std::string& warning) { warnings_.push_back(warning); }};
};

TEST_F(CanaryWatchTest, WithoutSelfTestThereIsNoState) {
  EXPECT_TRUE(States().empty());
  EXPECT_FALSE(watch_.Intercept({.member = 7, .kind = EVENT_EXIT, .body = Exit{}}));
}

TEST_F(CanaryWatchTest, ErrorIsTheReasonOfTheState) {
  watch_.Start(absl::PermissionDeniedError("read-only"), 7, 9);
  ASSERT_EQ(States().size(), 1u);
  EXPECT_EQ(States()[0].mechanism, "");
  EXPECT_EQ(States()[0].reason, "read-only");
}

TEST_F(CanaryWatchTest, CgroupIsWatchedAsAMemberOfItsOwn) {
  Start();
  EXPECT_EQ(tables_.MemberOf(id_), 7u);
  EXPECT_EQ(members_.Find(7)->sandbox, 9u);
  EXPECT_EQ(States()[0].mechanism, "cgroup");
}

TEST_F(CanaryWatchTest, OnlyEventsOfItsMemberAreIntercepted) {
  Start();
  EXPECT_TRUE(watch_.Intercept({.member = 7, .kind = EVENT_EXIT, .body = Exit{}}));
  EXPECT_FALSE(watch_.Intercept({.member = 8, .kind = EVENT_EXIT, .body = Exit{}}));
}

TEST_F(CanaryWatchTest, NamespaceOfTheTestProcessIsForgotten) {
  Start();
  watch_.Intercept({.member = 7, .kind = EVENT_CONNECT, .body = Connect{.netns = 44}});
  EXPECT_EQ(tables_.forgotten_namespaces, std::vector<uint32_t>{44});
}

TEST_F(CanaryWatchTest, RemovedCgroupStopsTheSelfTest) {
  Start();
  watch_.Intercept({.time_ns = 1, .member = 7, .body = CgroupRemoved{}});
  members_.ExpireDue(2 * kSecond);
  members_.RemoveEnded(BootNow(), [](uint64_t, const Member&, const KernelCounts&) {});
  watch_.Poll(now_);
  ASSERT_EQ(warnings_.size(), 1u);
  EXPECT_NE(warnings_[0].find("self-test stopped: its cgroup was removed"), std::string::npos);
  EXPECT_EQ(States()[0].mechanism, "");
  watch_.Poll(now_);
  EXPECT_EQ(warnings_.size(), 1u);
}

}  // namespace
}  // namespace sandpiper
