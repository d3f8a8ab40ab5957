// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/dns_differential.h"

#include <gtest/gtest.h>

#include <map>

#include "absl/strings/escaping.h"
#include "tests/fuzz/dns_generator.h"

namespace sandpiper::testing {
namespace {

TEST(DnsDifferential, RightMessages) {
  DnsGenerator generator(1);
  for (int i = 0; i < 20'000; ++i) {
    const std::string wire = generator.Right();
    Agreement agreement;
    ASSERT_EQ(CompareWithLdns(wire, &agreement), "") << absl::BytesToHexString(wire);
    ASSERT_EQ(agreement, Agreement::kBothRead) << absl::BytesToHexString(wire);
  }
}

TEST(DnsDifferential, WrongMessages) {
  DnsGenerator generator(2);
  std::map<Agreement, int> seen;
  for (int i = 0; i < 100'000; ++i) {
    const std::string wire = generator.Mutated();
    Agreement agreement;
    ASSERT_EQ(CompareWithLdns(wire, &agreement), "") << absl::BytesToHexString(wire);
    ++seen[agreement];
  }
  // Both kinds were among them.
  EXPECT_GT(seen[Agreement::kBothRead], 10'000);
  EXPECT_GT(seen[Agreement::kNeitherReads], 10'000);
}

}  // namespace
}  // namespace sandpiper::testing
