// SPDX-License-Identifier: Apache-2.0
#include "userspace/probe/probe_status.h"

#include <gtest/gtest.h>

namespace sandpiper {
namespace {

const ProbeState kBest = {.probe = "packet", .mechanism = "cgroup", .reason = ""};
const ProbeState kSecondBest = {
    .probe = "packet", .mechanism = "cgroup", .reason = "fexit: Operation not permitted"};
const ProbeState kNone = {
    .probe = "packet", .mechanism = "", .reason = "cgroup: Operation not permitted"};

TEST(OperatingState, BestMechanismIsOn) {
  EXPECT_EQ(GetOperatingState(kBest), OperatingState::kOn);
  EXPECT_STREQ(Name(OperatingState::kOn), "on");
}

TEST(OperatingState, SecondBestMechanismIsDegraded) {
  EXPECT_EQ(GetOperatingState(kSecondBest), OperatingState::kDegraded);
  EXPECT_STREQ(Name(OperatingState::kDegraded), "degraded");
}

TEST(OperatingState, FailedSelfTestIsBlind) {
  EXPECT_EQ(GetOperatingState(kBest, /*is_blind=*/true), OperatingState::kBlind);
  EXPECT_EQ(GetOperatingState(kSecondBest, /*is_blind=*/true), OperatingState::kBlind);
  EXPECT_STREQ(Name(OperatingState::kBlind), "blind");
}

TEST(OperatingState, NoMechanismIsOffEvenIfTheSelfTestFailed) {
  EXPECT_EQ(GetOperatingState(kNone), OperatingState::kOff);
  EXPECT_EQ(GetOperatingState(kNone, /*is_blind=*/true), OperatingState::kOff);
  EXPECT_STREQ(Name(OperatingState::kOff), "off");
}

}  // namespace
}  // namespace sandpiper
