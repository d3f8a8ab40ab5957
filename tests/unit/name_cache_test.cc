// SPDX-License-Identifier: Apache-2.0
#include "userspace/correlate/name_cache.h"

#include <gtest/gtest.h>

#include "userspace/base/clock.h"

namespace sandpiper {
namespace {

Address Ip(uint8_t last) {
  const uint8_t octets[4] = {192, 0, 2, last};
  return Address::FromIpv4(octets);
}

TEST(NameCache, NameIsValidForItsTtlButAtLeastFiveMinutes) {
  NameCache names(10);
  names.Learn(Ip(1), "short.test", 1, 0);
  names.Learn(Ip(2), "long.test", 3600, 0);
  EXPECT_EQ(names.Find(Ip(1), 299 * kSecond), "short.test");
  EXPECT_EQ(names.Find(Ip(1), 300 * kSecond), "");
  EXPECT_EQ(names.Find(Ip(2), 3599 * kSecond), "long.test");
  EXPECT_EQ(names.Find(Ip(2), 3600 * kSecond), "");
  EXPECT_EQ(names.Find(Ip(3), 0), "");
}

TEST(NameCache, LatestNameReplacesEarlierOne) {
  NameCache names(10);
  names.Learn(Ip(1), "first.test", 60, 0);
  names.Learn(Ip(1), "second.test", 60, 1);
  EXPECT_EQ(names.Find(Ip(1), 2), "second.test");
}

TEST(NameCache, NameFromAWorseSourceReplacesOnlyAnExpiredOne) {
  NameCache names(10);
  names.Learn(Ip(1), "true.test", 1, 0, NameSource::kDns);
  names.Learn(Ip(1), "other.test", 1, 1, NameSource::kUntrusted);
  names.Learn(Ip(1), "forged.test", 1, 2, NameSource::kSandbox);
  EXPECT_EQ(names.Find(Ip(1), 3), "true.test");
  names.Learn(Ip(1), "forged.test", 1, 300 * kSecond, NameSource::kSandbox);
  EXPECT_EQ(names.FindWithSource(Ip(1), 300 * kSecond).source, NameSource::kSandbox);
  names.Learn(Ip(1), "true.test", 1, 301 * kSecond, NameSource::kDns);
  EXPECT_EQ(names.Find(Ip(1), 301 * kSecond), "true.test");
}

TEST(NameCache, OldestAddressIsRemovedOverTheLimit) {
  NameCache names(3);
  for (uint8_t i = 1; i <= 5; ++i)
    names.Learn(Ip(i), "n.test", 60, i);
  EXPECT_EQ(names.Find(Ip(2), 10), "");
  EXPECT_EQ(names.Find(Ip(3), 10), "n.test");
}

}  // namespace
}  // namespace sandpiper
