// SPDX-License-Identifier: Apache-2.0
#include "userspace/base/clock.h"

#include <gtest/gtest.h>

#include <ctime>
#include <random>
#include <string>

namespace sandpiper {
namespace {

std::string Format(uint64_t unix_ns) {
  const auto text = FormatTime(unix_ns);
  return {text.begin(), text.end()};
}

TEST(FormatTime, EqualsTheCalendarOfLibc) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 20'000; ++i) {
    const uint64_t unix_ns = random() % (9'000'000'000 * kSecond);  // to the year 2255
    const auto seconds = static_cast<time_t>(unix_ns / kSecond);
    tm t;
    gmtime_r(&seconds, &t);
    char expected[64];
    snprintf(expected + strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S", &t), 16,
             ".%09luZ", unix_ns % kSecond);
    ASSERT_EQ(Format(unix_ns), expected) << unix_ns;
  }
  EXPECT_EQ(Format(0), "1970-01-01T00:00:00.000000000Z");
  EXPECT_EQ(Format(951'782'400 * kSecond), "2000-02-29T00:00:00.000000000Z");
}

}  // namespace
}  // namespace sandpiper
