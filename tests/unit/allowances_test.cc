// SPDX-License-Identifier: Apache-2.0
#include "userspace/correlate/allowances.h"

#include <gtest/gtest.h>

#include "userspace/base/clock.h"

namespace sandpiper {
namespace {

constexpr uint64_t kStart = 1000 * kSecond;

Address At(uint8_t last) {
  const uint8_t octets[4] = {192, 0, 2, last};
  return Address::FromIpv4(octets);
}

TEST(Allowances, MeasuresFromTheFirstAnswerToTheElement) {
  Allowances allowances(10);
  EXPECT_FALSE(allowances.OnAnswer(At(1), kStart));
  EXPECT_FALSE(allowances.OnAnswer(At(1), kStart + 2));
  EXPECT_EQ(allowances.OnElementAdded(At(1), 0, kStart + 7).after_answer_ns, 7u);
  EXPECT_FALSE(allowances.OnElementAdded(At(1), 0, kStart + 8).after_answer_ns) << "reported once";
  EXPECT_FALSE(allowances.OnElementAdded(At(2), 0, kStart + 8).after_answer_ns);
}

TEST(Allowances, ElementBeforeItsAnswerIsReportedWithTheAnswer) {
  Allowances allowances(10);
  EXPECT_FALSE(allowances.OnElementAdded(At(1), 0, kStart + 10).after_answer_ns);
  EXPECT_EQ(allowances.OnAnswer(At(1), kStart + 4), 6u) << "the event of the element was late";
  allowances.OnElementAdded(At(2), 0, kStart);
  EXPECT_EQ(allowances.OnAnswer(At(2), kStart + 4), 0u);
  EXPECT_FALSE(allowances.OnAnswer(At(2), kStart + 5));
  allowances.OnElementAdded(At(3), 0, kStart);
  EXPECT_FALSE(allowances.OnAnswer(At(3), kStart + 60 * kSecond));
}

TEST(Allowances, ElementWithinFiveSecondsOfADenialIsAfterDenial) {
  Allowances allowances(10);
  allowances.OnDenied(At(1), kStart);
  EXPECT_TRUE(allowances.OnElementAdded(At(1), 0, kStart + kSecond).after_denial);
  EXPECT_FALSE(allowances.OnElementAdded(At(1), 0, kStart + 2 * kSecond).after_denial);
  allowances.OnDenied(At(1), kStart);
  EXPECT_FALSE(allowances.OnElementAdded(At(1), 0, kStart + 60 * kSecond).after_denial);
}

TEST(Allowances, ElementExpiresOnceUnlessRenewedOrRemoved) {
  Allowances allowances(10);
  allowances.OnElementAdded(At(1), kSecond, kStart);
  allowances.OnElementAdded(At(2), kSecond, kStart);
  allowances.OnElementAdded(At(3), kSecond, kStart);
  allowances.OnElementAdded(At(2), 5 * kSecond, kStart);
  allowances.OnElementRemoved(At(3));
  EXPECT_TRUE(allowances.ExpireDue(kStart).empty());
  EXPECT_EQ(allowances.NextDeadline(), kStart + kSecond);
  EXPECT_EQ(allowances.ExpireDue(kStart + kSecond), std::vector<Address>{At(1)});
  EXPECT_EQ(allowances.NextDeadline(), kStart + 5 * kSecond);
  EXPECT_EQ(allowances.ExpireDue(kStart + 9 * kSecond), std::vector<Address>{At(2)});
}

TEST(Allowances, AddressesOverTheLimitAreNotFollowed) {
  Allowances allowances(4);
  for (uint8_t i = 0; i < 100; ++i)
    allowances.OnAnswer(At(i), kStart);
  EXPECT_EQ(allowances.OnElementAdded(At(0), 0, kStart + 3).after_answer_ns, 3u);
  EXPECT_FALSE(allowances.OnElementAdded(At(99), 0, kStart + 3).after_answer_ns);
  // Old entries are removed for a new one.
  EXPECT_FALSE(allowances.OnAnswer(At(200), kStart + 60 * kSecond));
  EXPECT_EQ(allowances.OnElementAdded(At(200), 0, kStart + 60 * kSecond + 3).after_answer_ns, 3u);
}

}  // namespace
}  // namespace sandpiper
