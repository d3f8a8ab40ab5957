// SPDX-License-Identifier: Apache-2.0
#include "userspace/correlate/dns_lookups.h"

#include <gtest/gtest.h>

#include <span>

#include "tests/unit/dns_wire.h"
#include "userspace/base/clock.h"

namespace sandpiper {
namespace {

using testing::Answer;
using testing::ARecord;
using testing::Query;

constexpr uint64_t kStart = 1000 * kSecond;

Endpoint Server(uint8_t last) {
  const uint8_t octets[4] = {192, 0, 2, last};
  return {Address::FromIpv4(octets), 53};
}

class DnsLookupsTest : public ::testing::Test {
 protected:
  void Send(uint64_t cookie, const std::string& wire, uint64_t at_ms, uint32_t thread = 1,
            bool redirected = false, uint32_t pid = 10) {
    Keep(lookups_.OnPayload({.cookie = cookie,
                             .is_query = true,
                             .process = {pid, 1},
                             .thread = thread,
                             .server = server_,
                             .redirected = redirected,
                             .data = wire},
                            kStart + at_ms * kMillisecond));
  }
  void SendDenied(uint64_t cookie, const std::string& wire, uint64_t at_ms) {
    Keep(lookups_.OnPayload({.cookie = cookie,
                             .is_query = true,
                             .process = {10, 1},
                             .thread = 1,
                             .server = server_,
                             .denied = true,
                             .data = wire},
                            kStart + at_ms * kMillisecond));
  }
  void Receive(uint64_t cookie, const std::string& wire, uint64_t at_ms, bool local = false) {
    Keep(lookups_.OnPayload({.cookie = cookie,
                             .is_query = false,
                             .server = server_,
                             .local_server = local,
                             .data = wire},
                            kStart + at_ms * kMillisecond));
  }
  void Expire(uint64_t at_ms) { Keep(lookups_.ExpireDue(kStart + at_ms * kMillisecond)); }
  void Shutdown() { Keep(lookups_.Shutdown(kStart)); }
  void Keep(const DnsChanges& changes) {
    changes_.finished.insert(changes_.finished.end(), changes.finished.begin(),
                             changes.finished.end());
    changes_.learned.insert(changes_.learned.end(), changes.learned.begin(), changes.learned.end());
    changes_.forwarded.insert(changes_.forwarded.end(), changes.forwarded.begin(),
                              changes.forwarded.end());
  }
  std::span<const Lookup> done() const { return changes_.finished; }

  Endpoint server_ = Server(1);
  DnsLookups lookups_{{.timeout_ns = 5 * kSecond, .outstanding_max = 100}};
  DnsChanges changes_;
};

TEST_F(DnsLookupsTest, QuestionAndAnswer) {
  Send(1, Query(7, "a.test"), 0);
  EXPECT_TRUE(done().empty());
  Receive(1, Answer(7, "a.test", {ARecord(9)}), 12);
  ASSERT_EQ(done().size(), 1u);
  EXPECT_EQ(done()[0].outcome, DnsOutcome::kOk);
  EXPECT_EQ(done()[0].ended_ns - done()[0].asked_ns, 12 * kMillisecond);
  EXPECT_EQ(done()[0].addresses[0].address.ToString(), "192.0.2.9");
  ASSERT_EQ(changes_.learned.size(), 1u);
  EXPECT_EQ(changes_.learned[0].name, "a.test");
}

TEST_F(DnsLookupsTest, TimeoutHasNoRcodeAndComesAfterAGrace) {
  Send(1, Query(7, "a.test"), 0);
  Expire(5499);
  EXPECT_TRUE(done().empty());
  EXPECT_EQ(lookups_.NextDeadline(), kStart + 5500 * kMillisecond);
  Expire(5500);
  ASSERT_EQ(done().size(), 1u);
  EXPECT_EQ(done()[0].outcome, DnsOutcome::kTimeout);
  EXPECT_FALSE(done()[0].rcode.has_value());
}

TEST_F(DnsLookupsTest, RetryAtTheMomentOfTheTimeoutIsTheSameLookup) {
  Send(1, Query(7, "a.test"), 0);
  Expire(5001);
  server_ = Server(2);
  Send(2, Query(7, "a.test"), 5002);
  Receive(2, Answer(7, "a.test", {ARecord(9)}), 5010);
  ASSERT_EQ(done().size(), 1u);
  EXPECT_EQ(done()[0].queries, 2);
  EXPECT_EQ(done()[0].server, Server(2));
}

TEST_F(DnsLookupsTest, RetryWithANewIdFromTheSameThread) {
  Send(1, Query(7, "a.test"), 0);
  Send(2, Query(8, "a.test"), 1000);
  Receive(2, Answer(8, "a.test", {}), 1010);
  EXPECT_EQ(done().size(), 1u);
}

TEST_F(DnsLookupsTest, OtherThreadOtherProcessOtherTypeAreOtherLookups) {
  Send(1, Query(7, "a.test"), 0, 1);
  Send(2, Query(8, "a.test"), 0, 2);
  Send(3, Query(9, "a.test", 28), 0, 1);
  Send(4, Query(7, "a.test"), 0, 1, false, 11);
  Shutdown();
  EXPECT_EQ(done().size(), 4u);
}

TEST_F(DnsLookupsTest, ServfailWaitsForTheNextServer) {
  Send(1, Query(7, "a.test"), 0);
  Receive(1, Answer(7, "a.test", {}, 2), 10);
  EXPECT_TRUE(done().empty());
  server_ = Server(2);
  Send(2, Query(7, "a.test"), 11);
  Receive(2, Answer(7, "a.test", {ARecord(1)}), 20);
  ASSERT_EQ(done().size(), 1u);
  EXPECT_EQ(done()[0].outcome, DnsOutcome::kOk);
}

TEST_F(DnsLookupsTest, ServfailWithoutMoreIsServfailOfItsOwnTime) {
  Send(1, Query(7, "a.test"), 0);
  Receive(1, Answer(7, "a.test", {}, 2), 10);
  Expire(600);
  ASSERT_EQ(done().size(), 1u);
  EXPECT_EQ(done()[0].outcome, DnsOutcome::kServFail);
  EXPECT_EQ(done()[0].ended_ns, kStart + 10 * kMillisecond);
}

TEST_F(DnsLookupsTest, OutcomesOfRcodes) {
  const std::pair<unsigned, DnsOutcome> cases[] = {{0, DnsOutcome::kOk},
                                                   {1, DnsOutcome::kOther},
                                                   {2, DnsOutcome::kServFail},
                                                   {3, DnsOutcome::kNxDomain},
                                                   {5, DnsOutcome::kRefused}};
  for (const auto& [rcode, outcome] : cases) {
    changes_ = {};
    Send(1, Query(7, "a.test"), 0);
    Receive(1, Answer(7, "a.test", {}, rcode), 1);
    Shutdown();
    ASSERT_EQ(done().size(), 1u);
    EXPECT_EQ(done()[0].outcome, outcome) << rcode;
    EXPECT_EQ(done()[0].rcode, rcode);
  }
}

TEST_F(DnsLookupsTest, WrongServerQuestionIdAndSocketAreIgnored) {
  Send(1, Query(7, "a.test"), 0);
  server_ = Server(66);
  Receive(1, Answer(7, "a.test", {ARecord(66)}), 1);
  server_ = Server(1);
  Receive(1, Answer(7, "b.test", {ARecord(66)}), 1);
  Receive(1, Answer(8, "a.test", {ARecord(66)}), 1);
  Receive(2, Answer(7, "a.test", {ARecord(66)}), 1);
  EXPECT_TRUE(done().empty());
  EXPECT_TRUE(changes_.learned.empty());
  EXPECT_EQ(lookups_.ignored_answers(), 4u);
  Receive(1, Answer(7, "a.test", {ARecord(1)}), 2);
  EXPECT_EQ(done().size(), 1u);
}

TEST_F(DnsLookupsTest, MalformedAnswerCountsOnlyWhenNothingBetterComes) {
  Send(1, Query(7, "a.test"), 0);
  Receive(1, testing::U16(7) + "garbage", 1);
  Expire(10000);
  ASSERT_EQ(done().size(), 1u);
  EXPECT_EQ(done()[0].outcome, DnsOutcome::kMalformed);
  Send(1, Query(9, "b.test"), 0);
  Receive(1, testing::U16(9) + "garbage", 1);
  Receive(1, Answer(9, "b.test", {}), 2);
  EXPECT_EQ(done()[1].outcome, DnsOutcome::kOk);
  EXPECT_EQ(lookups_.malformed_messages(), 2u);
}

TEST_F(DnsLookupsTest, TheProxysOwnQueryIsALegOfTheRedirectedLookup) {
  Send(1, Query(7, "a.test"), 0, 1, true);
  Send(2, Query(99, "a.test"), 2, 50, false, 20);
  Receive(2, Answer(99, "a.test", {ARecord(1)}), 9);
  EXPECT_TRUE(done().empty());
  EXPECT_TRUE(changes_.learned.empty());
  Receive(1, Answer(7, "a.test", {ARecord(1)}), 10);
  ASSERT_EQ(done().size(), 1u);
  EXPECT_EQ(done()[0].upstream_ns, 7 * kMillisecond);
  EXPECT_TRUE(done()[0].redirected);
}

TEST_F(DnsLookupsTest, WithoutARedirectTwoProcessesAreTwoLookups) {
  Send(1, Query(7, "a.test"), 0, 1, false);
  Send(2, Query(99, "a.test"), 2, 50, false, 20);
  Shutdown();
  EXPECT_EQ(done().size(), 2u);
}

TEST_F(DnsLookupsTest, ANoOfTheSandboxesOwnServerThatAskedNobodyIsPolicy) {
  for (const int rcode : {kDnsNxDomain, kDnsRefused}) {
    Send(1, Query(7, "evil.test"), 0, 1, true);
    Receive(1, Answer(7, "evil.test", {}, rcode), 1, true);
    Expire(10'000);
  }
  ASSERT_EQ(done().size(), 2u);
  for (const Lookup& lookup : done()) {
    EXPECT_EQ(lookup.outcome, DnsOutcome::kDenied);
    EXPECT_EQ(lookup.denied_by, DenialLayer::kDns);
  }
}

TEST_F(DnsLookupsTest, ANoThatTheServerWasToldItselfIsNone) {
  Send(1, Query(7, "nx.test"), 0, 1, true);
  Send(2, Query(99, "nx.test"), 2, 50, false, 20);
  Receive(2, Answer(99, "nx.test", {}, kDnsNxDomain), 9);
  Receive(1, Answer(7, "nx.test", {}, kDnsNxDomain), 10, true);
  // Said again from memory.
  Send(1, Query(8, "nx.test"), 20, 1, true);
  Receive(1, Answer(8, "nx.test", {}, kDnsNxDomain), 21, true);
  ASSERT_EQ(done().size(), 2u);
  EXPECT_EQ(done()[0].outcome, DnsOutcome::kNxDomain);
  EXPECT_EQ(done()[1].outcome, DnsOutcome::kNxDomain);
}

TEST_F(DnsLookupsTest, ANoFromOutsideIsNone) {
  Send(1, Query(7, "evil.test"), 0, 1, true);
  Receive(1, Answer(7, "evil.test", {}, kDnsNxDomain), 1, false);
  ASSERT_EQ(done().size(), 1u);
  EXPECT_EQ(done()[0].outcome, DnsOutcome::kNxDomain);
}

TEST_F(DnsLookupsTest, AQueryThatNetfilterThrewAway) {
  SendDenied(1, Query(7, "a.test"), 0);
  SendDenied(1, Query(7, "a.test"), 5);
  Expire(1000);
  ASSERT_EQ(done().size(), 1u);
  EXPECT_EQ(done()[0].outcome, DnsOutcome::kDenied);
  EXPECT_EQ(done()[0].denied_by, DenialLayer::kNetfilter);
  EXPECT_EQ(done()[0].denied_sends, 2u);
}

TEST_F(DnsLookupsTest, DeniedAtOneServerAnsweredByTheNext) {
  SendDenied(1, Query(7, "a.test"), 0);
  server_ = Server(2);
  Send(2, Query(7, "a.test"), 1);
  Receive(2, Answer(7, "a.test", {ARecord(1)}), 2);
  ASSERT_EQ(done().size(), 1u);
  EXPECT_EQ(done()[0].outcome, DnsOutcome::kOk);
  EXPECT_EQ(done()[0].denied_sends, 1u);
}

TEST_F(DnsLookupsTest, TooManyOpenLookupsEndTheOldest) {
  for (unsigned i = 0; i < 150; ++i)
    Send(i, Query(i, "n" + std::to_string(i) + ".test"), i, i + 1);
  EXPECT_EQ(done().size(), 50u);
  EXPECT_EQ(lookups_.evicted(), 50u);
  EXPECT_EQ(done()[0].name, "n0.test");
  EXPECT_EQ(done()[0].outcome, DnsOutcome::kOther);
}

// Finding one takes as long as there are questions of its id on its socket.
TEST_F(DnsLookupsTest, QuestionsUnderOneIdAreBounded) {
  for (int i = 0; i < 70; ++i)
    Send(1, Query(7, "n" + std::to_string(i) + ".test"), 0);
  EXPECT_EQ(lookups_.evicted(), 6u);
  ASSERT_EQ(done().size(), 6u);
  EXPECT_EQ(done()[5].name, "n5.test");
  EXPECT_EQ(done()[5].outcome, DnsOutcome::kOther);
  Receive(1, Answer(7, "n5.test", {ARecord(9)}), 1);
  EXPECT_EQ(lookups_.ignored_answers(), 1u);
  Receive(1, Answer(7, "n6.test", {ARecord(9)}), 1);
  Receive(1, Answer(7, "n69.test", {ARecord(9)}), 1);
  ASSERT_EQ(done().size(), 8u);
  EXPECT_EQ(done()[7].outcome, DnsOutcome::kOk);
}

}  // namespace
}  // namespace sandpiper
