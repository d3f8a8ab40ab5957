// SPDX-License-Identifier: Apache-2.0
#include "userspace/probe/ladder.h"

#include <gtest/gtest.h>

namespace sandpiper {
namespace {

TEST(Ladder, OnlyTheNamedMechanismOfTheProbeIsAvoided) {
  const ProbeOptions options = {.avoid = {{"udp.error", "tp_btf"}}};
  EXPECT_TRUE(IsAvoided(options, "udp.error", "tp_btf"));
  EXPECT_FALSE(IsAvoided(options, "udp.error", "fexit"));
  EXPECT_FALSE(IsAvoided(options, "egress.denied", "tp_btf"));
}

TEST(Ladder, FormerNameOfTheCallSiteMechanismIsAccepted) {
  const ProbeOptions options = WithCurrentNames(
      {.avoid = {{"egress.denied", "tp_btf by place"}, {"egress.denied", "fexit"}}});
  EXPECT_TRUE(IsAvoided(options, "egress.denied", "tp_btf (call site)"));
  EXPECT_TRUE(IsAvoided(options, "egress.denied", "fexit"));
}

}  // namespace
}  // namespace sandpiper
