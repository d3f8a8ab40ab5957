// SPDX-License-Identifier: Apache-2.0
#include "userspace/aggregate/denials.h"

#include <gtest/gtest.h>

namespace sandpiper {
namespace {

Denial To(uint8_t last, DenialLayer layer = DenialLayer::kNetfilter) {
  const uint8_t octets[4] = {192, 0, 2, last};
  return DenialOf(
      {.transport = Transport::kUdp, .peer = {Address::FromIpv4(octets), 443}, .denied_by = layer},
      1);
}

TEST(Denials, ReturnsFirstAtOnceAndOthersAtWindowEnd) {
  Denials denials(10);
  EXPECT_TRUE(denials.Add(To(1), 1));
  EXPECT_FALSE(denials.Add(To(1), 1));
  EXPECT_FALSE(denials.Add(To(1), 40));
  EXPECT_TRUE(denials.Add(To(2), 1));
  EXPECT_TRUE(denials.Add(To(1, DenialLayer::kCgroup), 3));
  const auto told = denials.CloseWindow();
  ASSERT_EQ(told.size(), 2u);
  EXPECT_EQ(told[0].count, 41u);
  EXPECT_EQ(told[1].count, 2u);
  EXPECT_TRUE(denials.CloseWindow().empty());
  EXPECT_TRUE(denials.Add(To(1), 1)) << "a new window";
}

TEST(Denials, SumIsExactOverCapacity) {
  Denials denials(2);
  uint64_t told = 0;
  for (int i = 0; i < 100; ++i)
    told += denials.Add(To(static_cast<uint8_t>(i)), 5);
  EXPECT_EQ(told, 2u);
  for (const Denials::WindowEntry& entry : denials.CloseWindow())
    told += entry.count;
  EXPECT_EQ(told, 500u);
}

}  // namespace
}  // namespace sandpiper
