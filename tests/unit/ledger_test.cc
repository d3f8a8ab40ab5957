// SPDX-License-Identifier: Apache-2.0
#include "userspace/aggregate/ledger.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace sandpiper {
namespace {

Flow MakeFlow(uint64_t cookie, uint8_t last, const std::string& name = "") {
  const uint8_t octets[4] = {198, 51, 100, last};
  return {
      .cookie = cookie, .peer = {Address::FromIpv4(octets), 443}, .name = name, .started_ns = 1};
}

TEST(Ledger, RepeatedBytesAreCountedOnce) {
  Ledger ledger(10);
  Flow flow = MakeFlow(1, 1);
  ledger.OnAttempt(flow);
  for (const uint64_t bytes : {10u, 10u, 25u}) {
    flow.sent = bytes;
    flow.received = 2 * bytes;
    ledger.OnBytes(flow);
  }
  flow.sent = 30;
  ledger.OnEnded(flow);
  const DestinationStats total = ledger.destinations().begin()->second.total;
  EXPECT_EQ(total.sent, 30u);
  EXPECT_EQ(total.received, 50u);
}

TEST(Ledger, WindowsAddUpToTotal) {
  Ledger ledger(10);
  DestinationStats sum;
  for (uint64_t window = 0; window < 5; ++window) {
    Flow flow = MakeFlow(window, 1, "a.test");
    ledger.OnAttempt(flow);
    flow.outcome = window % 2 ? ConnectOutcome::kEstablished : ConnectOutcome::kRefused;
    flow.decided_ns = 5;
    ledger.OnDecided(flow);
    const auto entries = ledger.CloseWindow();
    ASSERT_EQ(entries.size(), 1u);
    EXPECT_EQ(entries[0].first_contact, window == 0);
    sum.attempts += entries[0].stats.attempts;
    sum.failed += entries[0].stats.failed;
    sum.established += entries[0].stats.established;
  }
  EXPECT_EQ(sum.attempts, 5u);
  EXPECT_EQ(sum.failed, 3u);
  EXPECT_EQ(sum.established, 2u);
  EXPECT_TRUE(ledger.CloseWindow().empty());
}

// Reports and records have one order, independent of that of the table.
TEST(Ledger, WindowEntriesAreSorted) {
  Ledger ledger(100);
  for (uint8_t i = 0; i < 50; ++i) {
    const uint8_t last = static_cast<uint8_t>(i * 37 % 50);
    ledger.OnAttempt(MakeFlow(i, last, i % 2 ? "h" + std::to_string(last) : ""));
    ledger.OnLookup({.name = "q" + std::to_string(last), .type = last});
  }
  const auto entries = ledger.CloseWindow();
  ASSERT_EQ(entries.size(), 50u);
  EXPECT_TRUE(std::is_sorted(entries.begin(), entries.end(),
                             [](const auto& a, const auto& b) { return a.key < b.key; }));
  const auto by_key = [](const auto* a, const auto* b) { return a->first < b->first; };
  const auto destinations = InOrder(ledger.destinations());
  EXPECT_TRUE(destinations.size() == 50 &&
              std::is_sorted(destinations.begin(), destinations.end(), by_key));
  const auto questions = InOrder(ledger.questions());
  EXPECT_TRUE(questions.size() == 50 && std::is_sorted(questions.begin(), questions.end(), by_key));
}

TEST(Ledger, AddressesOfOneNameAreOneDestination) {
  Ledger ledger(10);
  for (uint8_t last = 1; last <= 40; ++last)
    ledger.OnAttempt(MakeFlow(last, last, "cdn.test"));
  ASSERT_EQ(ledger.destinations().size(), 1u);
  EXPECT_EQ(ledger.destinations().begin()->second.addresses.size(), Ledger::kAddressesMax);
  ledger.OnAttempt(MakeFlow(99, 99));
  EXPECT_EQ(ledger.distinct(), 2u);
}

TEST(Ledger, LoopbackIsKeptButNotInWindows) {
  Ledger ledger(10);
  const uint8_t octets[4] = {127, 0, 0, 1};
  ledger.OnAttempt({.cookie = 1, .peer = {Address::FromIpv4(octets), 1}});
  EXPECT_EQ(ledger.destinations().size(), 1u);
  EXPECT_EQ(ledger.distinct(), 0u);
  EXPECT_TRUE(ledger.CloseWindow().empty());
}

TEST(Ledger, OverflowIsCounted) {
  Ledger ledger(3);
  for (uint8_t last = 1; last <= 10; ++last)
    ledger.OnAttempt(MakeFlow(last, last));
  EXPECT_EQ(ledger.destinations().size(), 3u);
  EXPECT_EQ(ledger.overflowed(), 7u);
  EXPECT_TRUE(ledger.distinct_is_estimated());
  // Each run has another salt of hashes. Two of ten in one register of 4096 are one run in a
  // hundred, three such pairs one in millions.
  EXPECT_LE(ledger.distinct(), 10u);
  EXPECT_GE(ledger.distinct(), 8u);
}

TEST(Ledger, SumsAreExactOverCapacity) {
  Ledger ledger(3);
  DestinationStats sum;
  const auto close = [&] {
    for (const Ledger::WindowEntry& entry : ledger.CloseWindow()) {
      sum.attempts += entry.stats.attempts;
      sum.sent += entry.stats.sent;
      EXPECT_TRUE(entry.key || !entry.first_contact);
    }
  };
  for (uint8_t last = 1; last <= 100; ++last) {
    Flow flow = MakeFlow(last, last);
    ledger.OnAttempt(flow);
    flow.sent = last;
    ledger.OnEnded(flow);
    if (last % 7 == 0)
      close();
  }
  close();
  EXPECT_EQ(sum.attempts, 100u);
  EXPECT_EQ(sum.sent, 5050u);
}

TEST(Ledger, DistinctDestinationsAreEstimatedOverCapacity) {
  Ledger ledger(100);
  constexpr int kMany = 200'000;
  for (int i = 0; i < kMany; ++i)
    ledger.OnAttempt(MakeFlow(static_cast<uint64_t>(i), 1, "h" + std::to_string(i) + ".test"));
  // Four times the standard error of 1.6 %.
  EXPECT_NEAR(static_cast<double>(ledger.distinct()), kMany, kMany * 0.065);
}

TEST(DistinctEstimate, SmallNumbersAreExact) {
  DistinctEstimate estimate;
  for (uint64_t i = 0; i < 10; ++i) {
    estimate.Add(i << 52 | i);
    estimate.Add(i << 52 | i);
  }
  EXPECT_EQ(estimate.Count(), 10u);
}

}  // namespace
}  // namespace sandpiper
