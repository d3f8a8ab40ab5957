// SPDX-License-Identifier: Apache-2.0
#include "userspace/ruleset/ruleset.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>

#include "userspace/ruleset/nft_set.h"
#include "userspace/ruleset/nft_value.h"

namespace sandpiper {
namespace {

using Rules = std::vector<Rule>;

const NftSubject kAddress = {"ip daddr", NftFormat::kIpv4, 4, true},
                 kAddress6 = {"ip6 daddr", NftFormat::kIpv6, 16, true},
                 kPort = {"tcp dport", NftFormat::kNumber, 2};

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
  const Ruleset dormant = {.rules = {a}, .tables = {{.table = "inet t", .dormant = true}}};
  EXPECT_FALSE(Compare({.rules = {a}}, dormant).empty()) << "only a flag of a table changed";
  EXPECT_TRUE(Compare(dormant, dormant).empty());
  EXPECT_EQ(ToString({.table = "ip t", .dormant = true, .owned = true, .persists = true}),
            "ip t dormant,owner,persist");
}

TEST(NftValue, PrintsEachFormat) {
  EXPECT_EQ(FormatNftValue(kAddress, Bytes({10, 0, 0, 1})), "10.0.0.1");
  EXPECT_EQ(FormatNftValue(kAddress, Bytes({10, 1})), "10.1.0.0/16");  // as nft loads a prefix
  EXPECT_EQ(FormatNftValue(kAddress6, Bytes({0x20, 1, 0xd, 0xb8})), "2001:db8::/32");
  EXPECT_EQ(FormatNftValue(kPort, Bytes({1, 187})), "443");
  NftSubject masked = kAddress;
  masked.mask = Bytes({255, 255, 240, 0});
  EXPECT_EQ(FormatNftValue(masked, Bytes({10, 9, 16, 0})), "10.9.16.0/20");
  EXPECT_EQ(FormatNftSubject(masked), "ip daddr") << "a prefix is part of the value";
  masked.mask = Bytes({255, 0, 255, 0});
  EXPECT_EQ(FormatNftSubject(masked), "ip daddr & 255.0.255.0");
  EXPECT_EQ(FormatNftValue(masked, Bytes({10, 0, 1, 0})), "10.0.1.0");
  const NftSubject name = {"oifname", NftFormat::kName, 16};
  EXPECT_EQ(FormatNftValue(name, std::string("lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16)), "\"lo\"");
  EXPECT_EQ(FormatNftValue(name, "eth"), "\"eth*\"");
  EXPECT_EQ(FormatNftRange(name, std::string("eth").append(13, '\0'),
                           std::string("eth").append(13, '\xff')),
            "\"eth*\"");
}

// A number of four bytes in the order of this host.
std::string OfHost(uint32_t number) {
  return {reinterpret_cast<const char*>(&number), sizeof(number)};
}

TEST(NftValue, PrintsNumbersOfTheHostInTheOrderThatTheyHave) {
  NftSubject user = {"meta skuid", NftFormat::kNumber, 4, false, NftOrder::kHost};
  EXPECT_EQ(FormatNftValue(user, OfHost(1000)), "1000");
  user.order = NftOrder::kNetwork;
  EXPECT_EQ(FormatNftRange(user, Bytes({0, 0, 3, 232}), Bytes({0, 0, 7, 207})), "1000-1999");
  NftSubject mark = {"meta mark", NftFormat::kHexNumber, 4, false, NftOrder::kHost};
  mark.mask = OfHost(0x00ff0000);
  EXPECT_EQ(FormatNftSubject(mark), "meta mark & 0x00ff0000");
  EXPECT_EQ(FormatNftValue(mark, OfHost(0x00080000)), "0x00080000");
}

TEST(NftValue, PrintsSymbolsFlagsAndUnits) {
  NftSubject subject = {"icmp type", NftFormat::kNumber, 1};
  subject.symbols = kIcmpTypes;
  EXPECT_EQ(FormatNftValue(subject, Bytes({8})), "echo-request");
  EXPECT_EQ(FormatNftValue(subject, Bytes({200})), "200");
  EXPECT_EQ(FormatNftRange(subject, Bytes({0}), Bytes({8})), "0-8");
  subject = {"tcp flags", NftFormat::kHexNumber, 1};
  subject.symbols = kTcpFlags;
  subject.flags = true;
  EXPECT_EQ(FormatNftValue(subject, Bytes({0x12})), "syn,ack");
  EXPECT_EQ(FormatNftElement(subject, Bytes({0x12}), Bytes({0x12})), "syn | ack");
  EXPECT_EQ(FormatNftValue(subject, Bytes({0})), "0x0");
  const NftSubject wait = {"ct expiration", NftFormat::kDuration, 4};
  EXPECT_EQ(FormatNftValue(wait, Bytes({0, 0x55, 0x4a, 0x8c})), "1h33m9s644ms");
  EXPECT_EQ(FormatNftValue(wait, Bytes({0, 0, 0, 0})), "0s");
  const NftSubject handle = {"meta priority", NftFormat::kHandle, 4};
  EXPECT_EQ(FormatNftValue(handle, Bytes({0, 1, 0, 2})), "1:2");
  EXPECT_EQ(FormatNftValue(handle, Bytes({255, 255, 255, 255})), "root");
}

TEST(NftValue, ShiftsAFieldOfSomeBits) {
  NftSubject subject = {"ip6 dscp", NftFormat::kHexNumber, 2};
  subject.symbols = kDscp;
  subject.shift = 6;
  subject.bits = NftBits{.offset = 4, .count = 6};
  EXPECT_EQ(FormatNftValue(subject, Bytes({0x08, 0x80})), "af41");
  EXPECT_EQ(FormatNftValue(subject, Bytes({0x00, 0xc0})), "0x03");
}

TEST(NftValue, PrintsTheHourInLocalTime) {
  setenv("TZ", "XXX-2", 1);  // two hours east of Greenwich
  tzset();
  const NftSubject hour = {"meta hour", NftFormat::kHour, 4};
  EXPECT_EQ(FormatNftValue(hour, Bytes({0, 0, 0x54, 0x60})), "\"08:00\"");
  EXPECT_EQ(FormatNftValue(hour, Bytes({0, 1, 0x51, 0x7f})), "\"01:59:59\"");
  const NftSubject time = {"meta time", NftFormat::kTime, 8};
  EXPECT_EQ(FormatNftValue(time, Bytes({0, 0, 0, 0, 0x3b, 0x9a, 0xca, 0})),
            "\"1970-01-01 02:00:01\"");
  unsetenv("TZ");
  tzset();
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

TEST(NftSet, ElementForAllOtherValuesIsTheLastOne) {
  const NftSet set = {.name = "s",
                      .interval = true,
                      .key_bytes = 4,
                      .elements = {{.key = "", .catch_all = true},
                                   {.key = Bytes({10, 0, 0, 0})},
                                   {.key = Bytes({11, 0, 0, 0}), .interval_end = true}}};
  EXPECT_EQ(Texts(set, {kAddress}), (std::vector<std::string>{"10.0.0.0/8", "*"}));
  EXPECT_EQ(CountStatic(set), 2u);
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
