// SPDX-License-Identifier: Apache-2.0
#include "userspace/event/dns_answer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/unit/dns_wire.h"

namespace sandpiper {
namespace {

using testing::Answer;
using testing::ARecord;
using testing::Record;
using testing::U16;
using testing::WireName;

const std::string kPointer = U16(0xc00c);
const std::string kA = std::string("\xc0\x00\x02\x09", 4);  // 192.0.2.9
const std::string kA2 = std::string("\xc0\x00\x02\x0a", 4);
const std::string kAaaa = std::string("\x20\x01\x0d\xb8", 4) + std::string(11, '\0') + "\x09";
const std::string kMapped = std::string(10, '\0') + "\xff\xff" + kA;

std::string Parameter(unsigned key, const std::string& value) {
  return U16(key) + U16(static_cast<unsigned>(value.size())) + value;
}

// "name=address" for each accepted address.
std::vector<std::string> Named(const std::string& wire) {
  const auto message = ParseDns(wire, DnsCapture::kComplete);
  EXPECT_TRUE(message.ok()) << message.status();
  std::vector<std::string> out;
  if (!message.ok())
    return out;
  for (const NamedAddress& named : NamedAddresses(*message, message->questions.at(0)))
    out.push_back(std::string(named.name.view()) + "=" + named.address.ToString());
  return out;
}

// An answer with one answer record and further records in the additional section.
std::string WithAdditional(const std::string& name, unsigned type, const std::string& record,
                           const std::vector<std::string>& additional) {
  std::string wire = Answer(1, name, {record}, 0, type);
  wire.replace(10, 2, U16(static_cast<unsigned>(additional.size())));
  for (const std::string& one : additional)
    wire += one;
  return wire;
}

using Names = std::vector<std::string>;

TEST(NamedAddresses, AddressesOfTheQuestionAndItsAliasesHaveItsName) {
  const std::string c1 = WireName("c1.test"), c2 = WireName("c2.test");
  EXPECT_EQ(Named(Answer(1, "a.test", {Record(kPointer, 1, kA)})), Names{"a.test=192.0.2.9"});
  EXPECT_EQ(
      Named(Answer(1, "a.test", {Record(kPointer, 5, c1), Record(c1, 5, c2), Record(c2, 1, kA)})),
      Names{"a.test=192.0.2.9"});
  // Resolvers accept the records in any order.
  EXPECT_EQ(
      Named(Answer(1, "a.test", {Record(c2, 1, kA), Record(c1, 5, c2), Record(kPointer, 5, c1)})),
      Names{"a.test=192.0.2.9"});
}

TEST(NamedAddresses, RecordOfAnotherOwnerIsLeftOut) {
  const std::string other = WireName("other.test"), c1 = WireName("c1.test");
  EXPECT_EQ(Named(Answer(1, "a.test", {Record(other, 1, kA)})), Names{});
  // An alias of another name leads nowhere.
  EXPECT_EQ(Named(Answer(1, "a.test", {Record(other, 5, c1), Record(c1, 1, kA)})), Names{});
  // The first alias of a name counts.
  EXPECT_EQ(Named(Answer(1, "a.test",
                         {Record(kPointer, 5, c1), Record(kPointer, 5, other), Record(other, 1, kA),
                          Record(c1, 1, kA2)})),
            Names{"a.test=192.0.2.10"});
}

TEST(NamedAddresses, LoopsAndLongChainsOfAliasesEnd) {
  const std::string b = WireName("b.test");
  EXPECT_EQ(Named(Answer(1, "a.test", {Record(kPointer, 5, b), Record(b, 5, kPointer)})), Names{});
  std::vector<std::string> records = {Record(kPointer, 5, WireName("c1.test"))};
  for (int i = 1; i < 100; ++i)
    records.push_back(Record(WireName("c" + std::to_string(i) + ".test"), 5,
                             WireName("c" + std::to_string(i + 1) + ".test")));
  records.push_back(Record(WireName("c100.test"), 1, kA));
  EXPECT_EQ(Named(Answer(1, "a.test", records)), Names{});
}

TEST(NamedAddresses, RecordOfATypeThatWasNotAskedIsLeftOut) {
  for (const unsigned type : {16u, 28u, 5u, 2u})
    EXPECT_EQ(Named(Answer(1, "a.test", {Record(kPointer, 1, kA)}, 0, type)), Names{}) << type;
  EXPECT_EQ(Named(Answer(1, "a.test", {Record(kPointer, 28, kAaaa)}, 0, 1)), Names{});
  EXPECT_EQ(Named(Answer(1, "a.test", {Record(kPointer, 28, kAaaa)}, 0, 28)),
            Names{"a.test=2001:db8::9"});
  EXPECT_EQ(
      Named(Answer(1, "a.test", {Record(kPointer, 28, kAaaa), Record(kPointer, 1, kA)}, 0, 255)),
      (Names{"a.test=2001:db8::9", "a.test=192.0.2.9"}));
}

TEST(NamedAddresses, MappedAddressIsLeftOut) {
  EXPECT_EQ(Named(Answer(1, "a.test", {Record(kPointer, 28, kMapped)}, 0, 28)), Names{});
}

TEST(NamedAddresses, AnswerWithAnErrorOrOfAnotherClassHasNone) {
  for (const unsigned rcode : {1u, 2u, 3u, 5u, 11u})
    EXPECT_EQ(Named(Answer(1, "a.test", {Record(kPointer, 1, kA)}, rcode)), Names{}) << rcode;
  std::string chaos = Answer(1, "a.test", {Record(kPointer, 1, kA)});
  chaos[12 + 8 + 3] = 3;  // the class of the question
  EXPECT_EQ(Named(chaos), Names{});
}

TEST(NamedAddresses, HintsHaveTheNameOfTheQuestion) {
  const std::string hints = Parameter(1, "\x02h3") + Parameter(4, kA + kA2) + Parameter(6, kAaaa);
  const std::string self = U16(1) + std::string(1, '\0') + hints;
  const Names expected = {"a.test=192.0.2.9", "a.test=192.0.2.10", "a.test=2001:db8::9"};
  EXPECT_EQ(Named(Answer(1, "a.test", {Record(kPointer, 65, self)}, 0, 65)), expected);
  EXPECT_EQ(Named(Answer(1, "_8443._https.a.test", {Record(kPointer, 65, self)}, 0, 65)), expected);
  EXPECT_EQ(Named(Answer(1, "_dns.a.test", {Record(kPointer, 64, self)}, 0, 64)), expected);
  // Whoever owns a.test may write any target.
  const std::string foreign = U16(1) + WireName("bank.example") + hints;
  EXPECT_EQ(Named(Answer(1, "a.test", {Record(kPointer, 65, foreign)}, 0, 65)), expected);
  // A record of another owner, or one that was not asked for.
  EXPECT_EQ(Named(Answer(1, "a.test", {Record(WireName("b.test"), 65, self)}, 0, 65)), Names{});
  EXPECT_EQ(Named(Answer(1, "a.test", {Record(kPointer, 65, self)}, 0, 1)), Names{});
}

TEST(NamedAddresses, MalformedHintsAreLeftOut) {
  const std::string begin = U16(1) + std::string(1, '\0');
  const std::string cases[] = {
      begin + Parameter(4, "abc"),                       // no address
      begin + Parameter(4, ""),                          // none at all
      begin + Parameter(6, kA),                          // of the wrong length
      begin + Parameter(6, kAaaa) + Parameter(4, kA),    // keys out of order
      begin + Parameter(4, kA) + Parameter(4, kA2),      // a key twice
      begin + U16(4) + U16(400) + kA,                    // longer than the record
      begin + U16(4),                                    // cut within a parameter
      begin + Parameter(6, kMapped),                     // an IPv4 address
      U16(0) + std::string(1, '\0') + Parameter(4, kA),  // an alias has no parameters
      U16(1) + "\x40" + std::string(70, 'x') + "\0",     // a malformed target
      std::string("\0", 1),                              // too short
  };
  for (const std::string& data : cases)
    EXPECT_EQ(Named(Answer(1, "a.test", {Record(kPointer, 65, data)}, 0, 65)), Names{})
        << &data - cases;
}

TEST(NamedAddresses, AdditionalAddressesHaveTheNameOfTheServicesHost) {
  const std::string host = WireName("node1.test");
  const std::string srv = Record(kPointer, 33, std::string(6, '\0') + host);
  const std::string mx = Record(kPointer, 15, U16(10) + host);
  const std::string svcb = Record(kPointer, 64, U16(1) + host);
  const std::string own = Record(kPointer, 65, U16(1) + std::string(1, '\0'));
  const std::string a = Record(host, 1, kA), aaaa = Record(host, 28, kAaaa);
  const Names both = {"node1.test=192.0.2.9", "node1.test=2001:db8::9"};
  EXPECT_EQ(Named(WithAdditional("_x._tcp.a.test", 33, srv, {a, aaaa})), both);
  EXPECT_EQ(Named(WithAdditional("a.test", 15, mx, {a, aaaa})), both);
  EXPECT_EQ(Named(WithAdditional("_dns.a.test", 64, svcb, {a, aaaa})), both);
  EXPECT_EQ(Named(WithAdditional("a.test", 65, own, {Record(kPointer, 1, kA)})),
            Names{"a.test=192.0.2.9"});
  // Of a host that no record of the answer names.
  EXPECT_EQ(Named(WithAdditional("_x._tcp.a.test", 33, srv, {Record(WireName("n.test"), 1, kA)})),
            Names{});
  EXPECT_EQ(Named(WithAdditional("_x._tcp.a.test", 33, srv, {Record(host, 28, kMapped)})), Names{});
  EXPECT_EQ(Named(WithAdditional("a.test", 1, srv, {a})), Names{});
}

TEST(NamedAddresses, OnlyServiceLabelsInFrontAreRemoved) {
  const std::string self = U16(1) + std::string(1, '\0') + Parameter(4, kA);
  const auto name_of = [&](const std::string& question) {
    return Named(Answer(1, question, {Record(kPointer, 65, self)}, 0, 65)).at(0);
  };
  EXPECT_EQ(name_of("a._b.test"), "a._b.test=192.0.2.9");
  EXPECT_EQ(name_of("_only"), "_only=192.0.2.9");
  EXPECT_EQ(name_of("_a._b._c"), "_a._b._c=192.0.2.9");
}

}  // namespace
}  // namespace sandpiper
