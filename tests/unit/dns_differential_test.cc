// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/dns_differential.h"

#include <gtest/gtest.h>

#include <map>

#include "absl/strings/escaping.h"
#include "tests/fuzz/dns_generator.h"

namespace sandpiper::testing {
namespace {

TEST(DnsDifferential, ValidMessagesAreReadAsByLdns) {
  DnsGenerator generator(1);
  for (int i = 0; i < 20'000; ++i) {
    const std::string wire = generator.Valid();
    Agreement agreement;
    ASSERT_EQ(CompareWithLdns(wire, &agreement), "") << absl::BytesToHexString(wire);
    ASSERT_EQ(agreement, Agreement::kBothRead) << absl::BytesToHexString(wire);
  }
}

TEST(DnsDifferential, MutatedMessagesAreReadAsByLdns) {
  DnsGenerator generator(2);
  std::map<Agreement, int> seen;
  for (int i = 0; i < 100'000; ++i) {
    const std::string wire = generator.Mutated();
    Agreement agreement;
    ASSERT_EQ(CompareWithLdns(wire, &agreement), "") << absl::BytesToHexString(wire);
    ++seen[agreement];
  }
  // The mutations must give both readable and unreadable messages.
  EXPECT_GT(seen[Agreement::kBothRead], 10'000);
  EXPECT_GT(seen[Agreement::kNeitherReads], 10'000);
}

}  // namespace
}  // namespace sandpiper::testing
