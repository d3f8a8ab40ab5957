// SPDX-License-Identifier: Apache-2.0
#include "userspace/event/dns_stream.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace sandpiper {
namespace {

std::string Frame(const std::string& message) {
  return std::string{static_cast<char>(message.size() >> 8), static_cast<char>(message.size())} +
         message;
}

TEST(DnsStream, MessagesInOneSegmentAndInManyAreReturned) {
  DnsStream stream(100);
  const std::string wire = Frame("one") + Frame("") + Frame("three");
  EXPECT_EQ(stream.Add(100, wire), (std::vector<std::string>{"one", "", "three"}));
  uint32_t at = 100 + static_cast<uint32_t>(wire.size());
  std::vector<std::string> got;
  for (const char c : Frame("bytewise")) {
    for (std::string& m : stream.Add(at++, std::string(1, c)))
      got.push_back(m);
  }
  EXPECT_EQ(got, std::vector<std::string>{"bytewise"});
}

TEST(DnsStream, SegmentsInAnyOrderWithOverlapsAcrossTheWrapGiveAllMessages) {
  std::mt19937 random(3);
  for (int round = 0; round < 300; ++round) {
    std::vector<std::string> messages;
    std::string wire;
    for (int i = 0; i < 5; ++i) {
      messages.push_back(std::string(random() % 600, static_cast<char>('a' + i)));
      wire += Frame(messages.back());
    }
    const uint32_t first = 0xffffffffu - random() % 1000;
    std::vector<std::pair<size_t, size_t>> segments;
    for (size_t at = 0; at < wire.size();) {
      const size_t n = std::min<size_t>(1 + random() % 200, wire.size() - at);
      segments.emplace_back(at, n);
      if (random() % 3 == 0)
        segments.emplace_back(at > 20 ? at - 20 : 0,
                              std::min<size_t>(n + 20, wire.size() - (at > 20 ? at - 20 : 0)));
      at += n;
    }
    std::shuffle(segments.begin(), segments.end(), random);
    DnsStream stream(first);
    std::vector<std::string> got;
    for (const auto& [at, n] : segments) {
      for (std::string& m :
           stream.Add(first + static_cast<uint32_t>(at), std::string_view(wire).substr(at, n)))
        got.push_back(m);
    }
    ASSERT_EQ(got, messages) << round;
    ASSERT_FALSE(stream.broken());
  }
}

TEST(DnsStream, StreamBreaksWhenTooManyBytesWaitForAGap) {
  DnsStream stream(0);
  for (uint32_t i = 0; i < 10000 && !stream.broken(); ++i)
    stream.Add(10 + i * 1000, std::string(1000, 'x'));
  EXPECT_TRUE(stream.broken());
  EXPECT_TRUE(stream.Add(0, Frame("after the break")).empty());
}

}  // namespace
}  // namespace sandpiper
