// SPDX-License-Identifier: Apache-2.0
#include "userspace/event/dns_message.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/unit/dns_wire.h"

namespace sandpiper {
namespace {

using testing::Answer;
using testing::ARecord;
using testing::Header;
using testing::Query;
using testing::Question;
using testing::Record;
using testing::U16;
using testing::WireName;

const std::string kPointer = U16(0xc00c);

TEST(ParseDns, QueryHasIdNameAndType) {
  const auto m = ParseDns(Query(7, "WWW.Example.ORG", 28), DnsCapture::kComplete);
  ASSERT_TRUE(m.ok()) << m.status();
  EXPECT_EQ(m->id, 7);
  EXPECT_FALSE(m->is_response);
  EXPECT_EQ(m->name, "www.example.org");
  EXPECT_EQ(m->type, 28);
}

TEST(ParseDns, AnswerHasAddressesAndAliases) {
  const std::string c1 = WireName("c1.test");
  const auto m = ParseDns(Answer(1, "a.test",
                                 {Record(kPointer, 5, c1), Record(c1, 1, "\x01\x02\x03\x04", 99),
                                  Record(c1, 28, std::string(15, '\0') + "\1")}),
                          DnsCapture::kComplete);
  ASSERT_TRUE(m.ok()) << m.status();
  ASSERT_EQ(m->addresses.size(), 2u);
  EXPECT_EQ(m->addresses[0].address.ToString(), "1.2.3.4");
  EXPECT_EQ(m->addresses[0].ttl_seconds, 99u);
  EXPECT_EQ(m->addresses[0].owner, "c1.test");
  EXPECT_EQ(m->addresses[1].address.ToString(), "::1");
  EXPECT_EQ(m->aliases, std::vector<SharedText>{"c1.test"});
}

TEST(ParseDns, NameIsEscaped) {
  EXPECT_EQ(ParseDns(Query(1, ""), DnsCapture::kComplete)->name, ".");
  const auto m =
      ParseDns(Header(1, 0, 1, 0) + std::string("\4a.b\\\3\0\n\xff\0", 10) + U16(1) + U16(1),
               DnsCapture::kComplete);
  ASSERT_TRUE(m.ok()) << m.status();
  EXPECT_EQ(m->name, "a\\.b\\\\.\\000\\010\\255");
}

struct Malformed {
  const char* fault;
  std::string wire;
};

class MalformedDnsMessage : public ::testing::TestWithParam<Malformed> {};

TEST_P(MalformedDnsMessage, IsAnError) {
  EXPECT_FALSE(ParseDns(GetParam().wire, DnsCapture::kComplete).ok());
}

INSTANTIATE_TEST_SUITE_P(
    All, MalformedDnsMessage,
    ::testing::Values(
        Malformed{"empty", ""}, Malformed{"short header", std::string(11, '\0')},
        Malformed{"no question", Header(1, 0, 0, 0)},
        Malformed{"two questions", Header(1, 0, 2, 0) + Question("a", 1) + Question("b", 1)},
        Malformed{"pointer to itself", Header(1, 0, 1, 0) + U16(0xc00c) + U16(1) + U16(1)},
        Malformed{"pointer forward",
                  Header(1, 0, 1, 0) + U16(0xc00e) + WireName("a") + U16(1) + U16(1)},
        Malformed{"label of 64", Header(1, 0, 1, 0) + "\x40" + std::string(64, 'a') +
                                     std::string(1, '\0') + U16(1) + U16(1)},
        Malformed{"reserved label 0x80",
                  Header(1, 0, 1, 0) + "\x81" + std::string(70, 'a') + U16(1) + U16(1)},
        Malformed{"name of 256", Query(1, std::string(63, 'a') + "." + std::string(63, 'b') + "." +
                                              std::string(63, 'c') + "." + std::string(62, 'd'))},
        Malformed{"question without type", Header(1, 0, 1, 0) + WireName("a.test")},
        Malformed{"count over the bytes", Header(1, 0x8180, 1, 65535) + Question("a.test", 1)},
        Malformed{"length over the bytes", Header(1, 0x8180, 1, 1) + Question("a.test", 1) +
                                               kPointer + U16(1) + U16(1) + testing::U32(1) +
                                               U16(65535) + "abcd"},
        Malformed{"A of 5 bytes", Answer(1, "a.test", {Record(kPointer, 1, "12345")})},
        Malformed{"AAAA of 4 bytes", Answer(1, "a.test", {Record(kPointer, 28, "1234")})},
        Malformed{"CNAME that overruns", Answer(1, "a.test",
                                                {Record(kPointer, 5,
                                                        "\x09"
                                                        "abc")})},
        Malformed{"CNAME with a tail",
                  Answer(1, "a.test", {Record(kPointer, 5, WireName("x") + "more")})}),
    [](const auto& info) {
      std::string name = info.param.fault;
      std::replace_if(
          name.begin(), name.end(), [](char c) { return !isalnum(static_cast<unsigned char>(c)); },
          '_');
      return name;
    });

TEST(ParseDns, NameOf255BytesIsRead) {
  const std::string name = std::string(63, 'a') + "." + std::string(63, 'b') + "." +
                           std::string(63, 'c') + "." + std::string(61, 'd');
  const auto m = ParseDns(Query(1, name), DnsCapture::kComplete);
  ASSERT_TRUE(m.ok()) << m.status();
  EXPECT_EQ(m->name, name);
}

TEST(ParseDns, CutAndTruncatedMessagesKeepCompleteRecords) {
  const std::string whole = Answer(1, "a.test", {ARecord(1), ARecord(2), ARecord(3)});
  const std::string part = whole.substr(0, whole.size() - 5);
  EXPECT_FALSE(ParseDns(part, DnsCapture::kComplete).ok());
  EXPECT_EQ(ParseDns(part, DnsCapture::kCut)->addresses.size(), 2u);
  const std::string tc = Answer(1, "a.test", {ARecord(1), ARecord(2)}, 0, 1, 0x0200);
  EXPECT_EQ(ParseDns(tc.substr(0, tc.size() - 3), DnsCapture::kComplete)->addresses.size(), 1u);
  // A complete record with a name that exceeds it is malformed, and not cut.
  EXPECT_TRUE(absl::IsInvalidArgument(
      ParseDns(Answer(1, "a.test", {Record(U16(0xc00c), 5, "\x21x")}), DnsCapture::kCut).status()));
}

TEST(ParseDns, RecordOfAnotherClassIsSkipped) {
  std::string chaos = ARecord(1);
  chaos[5] = 3;
  EXPECT_TRUE(ParseDns(Answer(1, "a.test", {chaos}), DnsCapture::kComplete)->addresses.empty());
}

TEST(ParseDns, PrefixesAndFlippedBytesDoNotCrash) {
  const std::string whole = Answer(1, "www.example.test",
                                   {Record(kPointer, 5, WireName("c.test")), ARecord(1),
                                    Record(kPointer, 28, std::string(16, 'x'))});
  for (size_t n = 0; n < whole.size(); ++n)
    EXPECT_FALSE(ParseDns(whole.substr(0, n), DnsCapture::kComplete).ok()) << n;
  std::mt19937 random(2);
  for (int i = 0; i < 200000; ++i) {
    std::string m = whole;
    for (unsigned flips = 1 + random() % 4; flips > 0; --flips)
      m[random() % m.size()] = static_cast<char>(random());
    const auto parsed = ParseDns(m, random() % 2 ? DnsCapture::kCut : DnsCapture::kComplete);
    if (parsed.ok()) {
      ASSERT_LE(parsed->name.size(), 4u * 255);
    }
  }
}

TEST(DnsNames, UnknownNumbersHaveGenericNames) {
  EXPECT_EQ(DnsTypeName(28), "AAAA");
  EXPECT_EQ(DnsTypeName(65280), "TYPE65280");
  EXPECT_EQ(DnsRcodeName(3), "NXDOMAIN");
  EXPECT_EQ(DnsRcodeName(11), "RCODE11");
}

}  // namespace
}  // namespace sandpiper
