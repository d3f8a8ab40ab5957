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
  ASSERT_EQ(m->questions.size(), 1u);
  EXPECT_EQ(m->questions[0].name, "www.example.org");
  EXPECT_EQ(m->questions[0].type, 28);
  EXPECT_EQ(m->questions[0].dns_class, kDnsClassIn);
  EXPECT_EQ(m->opcode, kDnsOpcodeQuery);
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
  ASSERT_EQ(m->aliases.size(), 1u);
  EXPECT_EQ(m->aliases[0].owner, "a.test");
  EXPECT_EQ(m->aliases[0].target, "c1.test");
}

TEST(ParseDns, NameIsEscaped) {
  EXPECT_EQ(ParseDns(Query(1, ""), DnsCapture::kComplete)->questions[0].name, ".");
  const auto m =
      ParseDns(Header(1, 0, 1, 0) + std::string("\4a.b\\\3\0\n\xff\0", 10) + U16(1) + U16(1),
               DnsCapture::kComplete);
  ASSERT_TRUE(m.ok()) << m.status();
  EXPECT_EQ(m->questions[0].name, "a\\.b\\\\.\\000\\010\\255");
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
        Malformed{"second question missing", Header(1, 0, 2, 0) + Question("a", 1)},
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
  EXPECT_EQ(m->questions[0].name, name);
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

std::string Opt(unsigned extended_rcode) {
  return std::string(1, '\0') + U16(41) + U16(1232) + testing::U32(extended_rcode << 24) + U16(0);
}

TEST(ParseDns, MessageWithoutQuestionIsRead) {
  std::string cookie = Header(1, 0x0100, 0, 0) + Opt(0);
  cookie[11] = 1;
  const auto m = ParseDns(cookie, DnsCapture::kComplete);
  ASSERT_TRUE(m.ok()) << m.status();
  EXPECT_TRUE(m->questions.empty());
  EXPECT_TRUE(m->has_edns);
  EXPECT_FALSE(ParseDns(Header(1, 0, 0, 0), DnsCapture::kComplete)->has_edns);
}

TEST(ParseDns, FirstOfSeveralQuestionsIsKept) {
  const std::string wire = Header(1, 0x0100, 2, 0) + Question("a.test", 1) + Question("b.test", 28);
  const auto m = ParseDns(wire, DnsCapture::kComplete);
  ASSERT_TRUE(m.ok()) << m.status();
  EXPECT_EQ(m->question_count, 2);
  ASSERT_EQ(m->questions.size(), 1u);
  EXPECT_EQ(m->questions[0].name, "a.test");
  EXPECT_EQ(m->bytes, wire.size());
}

TEST(ParseDns, OpcodesAreRead) {
  for (unsigned opcode = 0; opcode < 16; ++opcode) {
    const auto m =
        ParseDns(Header(1, opcode << 11, 1, 0) + Question("a.test", 6), DnsCapture::kComplete);
    ASSERT_TRUE(m.ok()) << m.status();
    EXPECT_EQ(m->opcode, opcode);
    EXPECT_FALSE(m->is_response);
  }
}

TEST(ParseDns, EdnsHasTheUpperBitsOfTheRcode) {
  const std::pair<unsigned, unsigned> cases[] = {{0, 1}, {7, 1}, {1, 0}, {15, 255}};
  for (const auto& [low, high] : cases) {
    std::string wire = Answer(1, "a.test", {}, low) + Opt(high);
    wire[11] = 1;
    EXPECT_EQ(ParseDns(wire, DnsCapture::kComplete)->rcode, high << 4 | low);
  }
}

TEST(ParseDns, UpdateHasTheAddressesThatItAdds) {
  std::string wire = Header(1, 5 << 11, 1, 0) + Question("corp.test", 6) +
                     Record(WireName("host7.corp.test"), 1, "\x01\x02\x03\x04");
  wire[9] = 1;
  const auto m = ParseDns(wire, DnsCapture::kComplete);
  ASSERT_TRUE(m.ok()) << m.status();
  ASSERT_EQ(m->addresses.size(), 1u);
  EXPECT_EQ(m->addresses[0].owner, "host7.corp.test");
  // In an answer the section has other records.
  wire[2] = static_cast<char>(0x80);
  EXPECT_TRUE(ParseDns(wire, DnsCapture::kComplete)->addresses.empty());
}

TEST(ParseDns, ErrorAfterTheAnswersEndsTheReading) {
  std::string wire = Answer(1, "a.test", {ARecord(1)});
  const size_t end = wire.size();
  wire[9] = 3;
  for (const std::string& tail : {std::string("\xc0\xff garbage"), std::string(), Opt(0)}) {
    const auto m = ParseDns(wire + tail, DnsCapture::kComplete);
    ASSERT_TRUE(m.ok()) << m.status();
    EXPECT_EQ(m->addresses.size(), 1u);
    EXPECT_FALSE(m->is_complete);
  }
  EXPECT_EQ(ParseDns(wire + "\xc0\xff", DnsCapture::kComplete)->bytes, end);
}

TEST(ParseDns, BytesBehindTheMessageAreNoPartOfIt) {
  const std::string query = Query(1, "a.test");
  for (const DnsCapture capture : {DnsCapture::kComplete, DnsCapture::kCut}) {
    const auto m = ParseDns(query + std::string(100, 'x'), capture);
    ASSERT_TRUE(m.ok()) << m.status();
    EXPECT_TRUE(m->is_complete);
    EXPECT_EQ(m->bytes, query.size());
  }
}

TEST(ParseDns, MulticastFlagIsNoPartOfTheClass) {
  std::string wire = Header(0, 0x8400, 2, 1) + Question("a.local", 12) + Question("b.local", 1) +
                     Record(WireName("a.local"), 1, "\x01\x02\x03\x04");
  const size_t first_class = 12 + 9 + 2;
  wire[first_class] = static_cast<char>(0x80);
  wire[wire.size() - 12] = static_cast<char>(0x80);
  const auto m = ParseDns(wire, DnsCapture::kComplete, DnsProtocol::kMulticast);
  ASSERT_TRUE(m.ok()) << m.status();
  ASSERT_EQ(m->questions.size(), 2u);
  EXPECT_EQ(m->questions[0].dns_class, kDnsClassIn);
  EXPECT_EQ(m->questions[1].name, "b.local");
  EXPECT_EQ(m->addresses.size(), 1u);
  ASSERT_EQ(m->answered.size(), 1u);
  EXPECT_EQ(m->answered[0].name, "a.local");
  // Elsewhere the flag is part of the class.
  const auto unicast = ParseDns(wire, DnsCapture::kComplete);
  EXPECT_EQ(unicast->questions[0].dns_class, 0x8001);
  EXPECT_TRUE(unicast->addresses.empty());
}

TEST(FirstQuestion, IsReadFromAMalformedMessage) {
  const std::string wire = Header(1, 0, 9, 0) + Question("a.test", 28) + "\xff\xff";
  ASSERT_FALSE(ParseDns(wire, DnsCapture::kComplete).ok());
  EXPECT_EQ(FirstQuestion(wire).name, "a.test");
  EXPECT_EQ(FirstQuestion(wire).type, 28);
  for (const std::string& unreadable :
       {std::string("x"), Header(1, 0, 0, 0), Header(1, 0, 1, 0) + U16(0xc00c) + U16(1) + U16(1)})
    EXPECT_EQ(FirstQuestion(unreadable).name, "");
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
      for (const DnsQuestion& question : parsed->questions)
        ASSERT_LE(question.name.size(), 4u * 255);
      ASSERT_LE(parsed->bytes, m.size());
    }
  }
}

}  // namespace
}  // namespace sandpiper
