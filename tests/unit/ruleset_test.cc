// SPDX-License-Identifier: Apache-2.0
#include "userspace/ruleset/ruleset.h"

#include <gtest/gtest.h>

#include "userspace/ruleset/nft_set.h"
#include "userspace/ruleset/nft_value.h"

namespace sandpiper {
namespace {

using Rules = std::vector<Rule>;

const NftSubject kAddress = {"ip daddr", NftFormat::kIpv4, 4, true, ""},
                 kAddress6 = {"ip6 daddr", NftFormat::kIpv6, 16, true, ""},
                 kPort = {"tcp dport", NftFormat::kPort, 2, false, ""};

std::string Bytes(std::initializer_list<int> bytes) {
  std::string out;
  for (const int byte : bytes)
    out.push_back(static_cast<char>(byte));
  return out;
}

std::vector<std::string> Texts(const NftSet& set, const std::vector<NftSubject>& subjects) {
  std::vector<std::string> out;
  for (const NftSetValue& value : StaticValues(set, subjects))
    out.push_back(value.text);
  return out;
}

TEST(Compare, CountsCopiesOfARule) {
  const Rule a{"allow", "a"}, b{"allow", "b"}, c{"deny", "a"};
  EXPECT_TRUE(Compare({.rules = {a, b}}, {.rules = {b, a}}).empty());
  const RulesetChange change = Compare({.rules = {a, a, b}}, {.rules = {c, a}});
  EXPECT_EQ(change.added, (Rules{c}));
  EXPECT_EQ(change.removed, (Rules{a, b}));
  EXPECT_TRUE(Compare({.default_deny = true, .rules = {}}, {.rules = {}}).default_changed);
}

TEST(NftValue, PrintsEachFormat) {
  EXPECT_EQ(FormatNftValue(kAddress, Bytes({10, 0, 0, 1})), "10.0.0.1");
  EXPECT_EQ(FormatNftValue(kAddress, Bytes({10, 1})), "10.1.0.0/16");  // as nft loads a prefix
  EXPECT_EQ(FormatNftValue(kAddress6, Bytes({0x20, 1, 0xd, 0xb8})), "2001:db8::/32");
  EXPECT_EQ(FormatNftValue(kPort, Bytes({1, 187})), "443");
  NftSubject masked = kAddress;
  masked.mask = Bytes({255, 255, 240, 0});
  EXPECT_EQ(FormatNftValue(masked, Bytes({10, 9, 16, 0})), "10.9.16.0/20");
  masked.mask = Bytes({255, 0, 255, 0});
  EXPECT_EQ(FormatNftValue(masked, Bytes({10, 0, 1, 0})), "0x0a000100 (of 0xff00ff00)");
  const NftSubject name = {"oifname", NftFormat::kName, 16, false, ""};
  EXPECT_EQ(FormatNftValue(name, std::string("lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16)), "\"lo\"");
  EXPECT_EQ(FormatNftValue(name, "eth"), "\"eth*\"");
  EXPECT_EQ(FormatCtStates(2 | 4), "established,related");
  EXPECT_EQ(FormatCtStates(0), "0x0");
  EXPECT_EQ(ProtocolName(17), "udp");
  EXPECT_EQ(ProtocolName(200), "200");
}

TEST(NftValue, PrintsARangeAsAPrefixWherePossible) {
  EXPECT_EQ(FormatNftRange(kAddress, Bytes({10, 0, 0, 0}), Bytes({10, 255, 255, 255})),
            "10.0.0.0/8");
  EXPECT_EQ(FormatNftRange(kAddress, Bytes({10, 0, 0, 5}), Bytes({10, 0, 0, 9})),
            "10.0.0.5-10.0.0.9");
  EXPECT_EQ(FormatNftRange(kAddress, Bytes({10, 0, 0, 1}), Bytes({10, 0, 0, 1})), "10.0.0.1");
  EXPECT_EQ(FormatNftRange(kAddress, Bytes({10, 0, 0, 1}), Bytes({10, 0, 0, 2})),
            "10.0.0.1-10.0.0.2");
  EXPECT_EQ(FormatNftRange(kPort, Bytes({0, 80}), Bytes({0, 90})), "80-90");
  EXPECT_EQ(Before(Bytes({10, 1, 0, 0})), Bytes({10, 0, 255, 255}));
}

TEST(NftSet, BuildsIntervalsFromTheirEnds) {
  // The kernel lists elements in any order. Each interval has an end, except for one that reaches
  // to the last address.
  const NftSet set = {.name = "s",
                      .interval = true,
                      .key_bytes = 4,
                      .elements = {{.key = Bytes({255, 0, 0, 0})},
                                   {.key = Bytes({11, 0, 0, 0}), .interval_end = true},
                                   {.key = Bytes({10, 0, 0, 0})},
                                   {.key = Bytes({11, 0, 0, 0})},
                                   {.key = Bytes({11, 0, 0, 1}), .interval_end = true},
                                   {.key = Bytes({0, 0, 0, 0}), .interval_end = true}}};
  EXPECT_EQ(Texts(set, {kAddress}),
            (std::vector<std::string>{"10.0.0.0/8", "11.0.0.0", "255.0.0.0/8"}));
  EXPECT_EQ(CountStatic(set), 3u);
}

TEST(NftSet, IntervalEndsWhereTheNextOneBegins) {
  // As nft writes adjacent intervals of an anonymous map: only the last one has an end.
  const NftSet set = {.name = "__map0",
                      .anonymous = true,
                      .interval = true,
                      .key_bytes = 4,
                      .elements = {{.key = Bytes({0, 0, 0, 0}), .interval_end = true},
                                   {.key = Bytes({10, 96, 0, 0})},
                                   {.key = Bytes({10, 96, 1, 0})},
                                   {.key = Bytes({10, 96, 2, 0})},
                                   {.key = Bytes({10, 96, 3, 0}), .interval_end = true},
                                   {.key = Bytes({192, 0, 2, 0})}}};
  EXPECT_EQ(Texts(set, {kAddress}),
            (std::vector<std::string>{"10.96.0.0/24", "10.96.1.0/24", "10.96.2.0/24",
                                      "192.0.2.0-255.255.255.255"}));
}

TEST(NftSet, IntervalEndsAtAnElementWithATimeout) {
  const NftSet set = {.name = "s",
                      .interval = true,
                      .timed = true,
                      .key_bytes = 2,
                      .elements = {{.key = Bytes({0, 80})},
                                   {.key = Bytes({0, 90}), .timed = true},
                                   {.key = Bytes({0, 100}), .interval_end = true}}};
  EXPECT_EQ(Texts(set, {kPort}), (std::vector<std::string>{"80-89"}));
}

TEST(NftSet, LeavesOutElementsWithATimeout) {
  const NftSet set = {
      .name = "s",
      .key_bytes = 4,
      .elements = {{.key = Bytes({1, 1, 1, 1}), .timed = true}, {.key = Bytes({1, 1, 1, 0})}}};
  EXPECT_EQ(Texts(set, {kAddress}), (std::vector<std::string>{"1.1.1.0"}));
  EXPECT_EQ(CountStatic(set), 1u);
}

TEST(NftSet, PrintsConcatenationsByTheirParts) {
  const NftSet set = {.name = "s",
                      .interval = true,
                      .key_bytes = 8,
                      .elements = {{.key = Bytes({10, 1, 0, 0, 31, 64, 0, 0}),
                                    .key_end = Bytes({10, 1, 255, 255, 31, 144, 0, 0})}}};
  EXPECT_EQ(Texts(set, {kAddress, kPort}), (std::vector<std::string>{"10.1.0.0/16 . 8000-8080"}));
}

}  // namespace
}  // namespace sandpiper
