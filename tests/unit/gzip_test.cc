// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/gzip.h"

#include <gtest/gtest.h>

namespace sandpiper {
namespace {

TEST(Gzip, RoundTrip) {
  for (const size_t size : {0u, 1u, 65'535u, 65'536u, 65'537u, 1'000'000u}) {
    std::string text(size, '\0');
    for (size_t i = 0; i < size; ++i)
      text[i] = static_cast<char>(i * i % 251);
    const std::string zipped = Gzip(text);
    EXPECT_TRUE(IsGzip(zipped));
    EXPECT_EQ(Gzip(text), zipped);
    EXPECT_EQ(Gunzip(zipped, size), text);
    if (size > 0) {
      EXPECT_EQ(Gunzip(zipped, size - 1), std::nullopt);
    }
  }
}

TEST(Gzip, OutputIsLimited) {
  const std::string bomb = Gzip(std::string(64 << 20, '\0'));
  ASSERT_LT(bomb.size(), 100'000u);
  EXPECT_EQ(Gunzip(bomb, 4 << 20), std::nullopt);
}

TEST(Gzip, BrokenInputGivesNothing) {
  std::string zipped = Gzip("some words to squeeze");
  EXPECT_EQ(Gunzip(zipped.substr(0, zipped.size() - 1), 100), std::nullopt);
  zipped[zipped.size() / 2] ^= 0x55;
  EXPECT_EQ(Gunzip(zipped, 100), std::nullopt);
  EXPECT_EQ(Gunzip("", 100), std::nullopt);
  EXPECT_FALSE(IsGzip("\x0a"));
}

}  // namespace
}  // namespace sandpiper
