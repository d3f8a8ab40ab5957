// SPDX-License-Identifier: Apache-2.0
#include "userspace/correlate/dns_lookups.h"

#include <gtest/gtest.h>

#include <limits>
#include <span>
#include <string>

#include "tests/unit/dns_wire.h"
#include "userspace/base/clock.h"

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

using namespace std::string_literals;

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
  // One message in one segment, the first of its direction.
  void SendTcp(uint64_t cookie, const std::string& wire, uint64_t at_ms) {
    Keep(lookups_.OnPayload({.cookie = cookie,
                             .is_query = true,
                             .transport = Transport::kTcp,
                             .process = {10, 1},
                             .thread = 1,
                             .server = server_,
                             .tcp_seq = 100,
                             .tcp_ack = 900,
                             .data = testing::U16(static_cast<unsigned>(wire.size())) + wire},
                            kStart + at_ms * kMillisecond));
  }
  void ReceiveTcp(uint64_t cookie, const std::string& wire, uint64_t at_ms) {
    Keep(lookups_.OnPayload({.cookie = cookie,
                             .is_query = false,
                             .transport = Transport::kTcp,
                             .server = server_,
                             .tcp_seq = 900,
                             .tcp_ack = 100,
                             .data = testing::U16(static_cast<unsigned>(wire.size())) + wire},
                            kStart + at_ms * kMillisecond));
  }
  // A server outside the sandbox answers that the name does not exist.
  void RemoteNxdomain(const std::string& name, uint64_t at_ms) {
    Send(50, Query(60, name), at_ms, /*thread=*/60);
    Receive(50, Answer(60, name, {}, kDnsNxDomain), at_ms);
    changes_ = {};
  }
  // A server within the sandbox answers so, without an upstream query. Returns the outcome.
  DnsOutcome LocalNxdomain(const std::string& name, uint64_t at_ms) {
    changes_ = {};
    Send(51, Query(61, name), at_ms, /*thread=*/61, /*redirected=*/true);
    Receive(51, Answer(61, name, {}, kDnsNxDomain), at_ms, /*local=*/true);
    EXPECT_EQ(done().size(), 1u);
    return done().empty() ? DnsOutcome::kUnknown : done()[0].outcome;
  }
  void Expire(uint64_t at_ms) { Keep(lookups_.ExpireDue(kStart + at_ms * kMillisecond)); }
  void Shutdown(uint64_t at_ms = 0) { Keep(lookups_.Shutdown(kStart + at_ms * kMillisecond)); }
  void Keep(const DnsChanges& changes) {
    changes_.finished.insert(changes_.finished.end(), changes.finished.begin(),
                             changes.finished.end());
    changes_.learned.insert(changes_.learned.end(), changes.learned.begin(), changes.learned.end());
    changes_.forwarded.insert(changes_.forwarded.end(), changes.forwarded.begin(),
                              changes.forwarded.end());
  }
  std::span<const Lookup> done() const { return changes_.finished; }

  Endpoint server_ = Server(1);
  static constexpr size_t kExchangesMax = 400;
  static constexpr size_t kStreamsMax = 3;
  static constexpr size_t kNegativeCacheMax = 4;
  DnsLookups lookups_{{.timeout_ns = 5 * kSecond,
                       .outstanding_max = 100,
                       .exchanges_max = kExchangesMax,
                       .streams_max = kStreamsMax,
                       .negative_cache_max = kNegativeCacheMax}};
  DnsChanges changes_;
};

TEST_F(DnsLookupsTest, AnswerEndsItsLookup) {
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

TEST_F(DnsLookupsTest, UnansweredLookupTimesOutAfterGrace) {
  Send(1, Query(7, "a.test"), 0);
  Expire(5499);
  EXPECT_TRUE(done().empty());
  EXPECT_EQ(lookups_.NextDeadline(), kStart + 5500 * kMillisecond);
  Expire(5500);
  ASSERT_EQ(done().size(), 1u);
  EXPECT_EQ(done()[0].outcome, DnsOutcome::kTimeout);
  EXPECT_FALSE(done()[0].rcode.has_value());
}

TEST_F(DnsLookupsTest, RetryDuringGraceContinuesTheLookup) {
  Send(1, Query(7, "a.test"), 0);
  Expire(5001);
  server_ = Server(2);
  Send(2, Query(7, "a.test"), 5002);
  Receive(2, Answer(7, "a.test", {ARecord(9)}), 5010);
  ASSERT_EQ(done().size(), 1u);
  EXPECT_EQ(done()[0].queries, 2);
  EXPECT_EQ(done()[0].server, Server(2));
}

TEST_F(DnsLookupsTest, RetryWithNewIdOfTheSameThreadContinuesTheLookup) {
  Send(1, Query(7, "a.test"), 0);
  Send(2, Query(8, "a.test"), 1000);
  Receive(2, Answer(8, "a.test", {}), 1010);
  EXPECT_EQ(done().size(), 1u);
}

TEST_F(DnsLookupsTest, OtherThreadProcessOrTypeIsAnotherLookup) {
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

TEST_F(DnsLookupsTest, ServfailWithoutRetryEndsAtTheTimeOfItsAnswer) {
  Send(1, Query(7, "a.test"), 0);
  Receive(1, Answer(7, "a.test", {}, 2), 10);
  Expire(600);
  ASSERT_EQ(done().size(), 1u);
  EXPECT_EQ(done()[0].outcome, DnsOutcome::kServFail);
  EXPECT_EQ(done()[0].ended_ns, kStart + 10 * kMillisecond);
}

TEST_F(DnsLookupsTest, EachRcodeHasItsOutcome) {
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

TEST_F(DnsLookupsTest, AnswerWithWrongServerQuestionIdOrSocketIsIgnored) {
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

TEST_F(DnsLookupsTest, MalformedAnswerDecidesOnlyWithoutABetterAnswer) {
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

TEST_F(DnsLookupsTest, UpstreamQueryOfTheProxyBelongsToTheRedirectedLookup) {
  Send(1, Query(7, "a.test"), 0, 1, true);
  Send(2, Query(99, "a.test"), 2, 50, false, 20);
  Receive(2, Answer(99, "a.test", {ARecord(1)}), 9);
  EXPECT_TRUE(done().empty());
  EXPECT_TRUE(changes_.learned.empty());
  Receive(1, Answer(7, "a.test", {ARecord(1)}), 10);
  ASSERT_EQ(done().size(), 1u);
  ASSERT_TRUE(done()[0].upstream.has_value());
  EXPECT_EQ(done()[0].upstream->duration_ns, 7 * kMillisecond);
  EXPECT_EQ(done()[0].upstream->rcode, kDnsNoError);
  EXPECT_TRUE(done()[0].redirected);
}

TEST_F(DnsLookupsTest, SameQuestionOfTwoProcessesWithoutRedirectIsTwoLookups) {
  Send(1, Query(7, "a.test"), 0, 1, false);
  Send(2, Query(99, "a.test"), 2, 50, false, 20);
  Shutdown();
  EXPECT_EQ(done().size(), 2u);
}

TEST_F(DnsLookupsTest, LocalNegativeAnswerWithoutUpstreamQueryIsPolicyDenial) {
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

TEST_F(DnsLookupsTest, UpstreamNxdomainIsNoPolicyDenial) {
  Send(1, Query(7, "nx.test"), 0, 1, true);
  Send(2, Query(99, "nx.test"), 2, 50, false, 20);
  Receive(2, Answer(99, "nx.test", {}, kDnsNxDomain), 9);
  Receive(1, Answer(7, "nx.test", {}, kDnsNxDomain), 10, true);
  // The local server answers from its cache.
  Send(1, Query(8, "nx.test"), 20, 1, true);
  Receive(1, Answer(8, "nx.test", {}, kDnsNxDomain), 21, true);
  ASSERT_EQ(done().size(), 2u);
  EXPECT_EQ(done()[0].outcome, DnsOutcome::kNxDomain);
  EXPECT_EQ(done()[1].outcome, DnsOutcome::kNxDomain);
}

TEST_F(DnsLookupsTest, RemoteNxdomainIsNoPolicyDenial) {
  Send(1, Query(7, "evil.test"), 0, 1, true);
  Receive(1, Answer(7, "evil.test", {}, kDnsNxDomain), 1, false);
  ASSERT_EQ(done().size(), 1u);
  EXPECT_EQ(done()[0].outcome, DnsOutcome::kNxDomain);
}

TEST_F(DnsLookupsTest, QueriesDroppedByNetfilterAreDenied) {
  SendDenied(1, Query(7, "a.test"), 0);
  SendDenied(1, Query(7, "a.test"), 5);
  Expire(1000);
  ASSERT_EQ(done().size(), 1u);
  EXPECT_EQ(done()[0].outcome, DnsOutcome::kDenied);
  EXPECT_EQ(done()[0].denied_by, DenialLayer::kNetfilter);
  EXPECT_EQ(done()[0].denied_sends, 2u);
}

TEST_F(DnsLookupsTest, DeniedQueryAnsweredByTheNextServerIsOk) {
  SendDenied(1, Query(7, "a.test"), 0);
  server_ = Server(2);
  Send(2, Query(7, "a.test"), 1);
  Receive(2, Answer(7, "a.test", {ARecord(1)}), 2);
  ASSERT_EQ(done().size(), 1u);
  EXPECT_EQ(done()[0].outcome, DnsOutcome::kOk);
  EXPECT_EQ(done()[0].denied_sends, 1u);
}

TEST_F(DnsLookupsTest, OldestLookupIsEvictedOverTheLimit) {
  for (unsigned i = 0; i < 150; ++i)
    Send(i, Query(i, "n" + std::to_string(i) + ".test"), i, i + 1);
  EXPECT_EQ(done().size(), 50u);
  EXPECT_EQ(lookups_.evicted(), 50u);
  EXPECT_EQ(done()[0].name, "n0.test");
  EXPECT_EQ(done()[0].outcome, DnsOutcome::kUnknown);
}

// The time to find a question grows with the number of questions with its id on its socket.
TEST_F(DnsLookupsTest, OldestQuestionOfAnIdIsEvictedOverTheLimit) {
  for (int i = 0; i < 70; ++i)
    Send(1, Query(7, "n" + std::to_string(i) + ".test"), 0);
  EXPECT_EQ(lookups_.evicted(), 6u);
  ASSERT_EQ(done().size(), 6u);
  EXPECT_EQ(done()[5].name, "n5.test");
  EXPECT_EQ(done()[5].outcome, DnsOutcome::kUnknown);
  Receive(1, Answer(7, "n5.test", {ARecord(9)}), 1);
  EXPECT_EQ(lookups_.ignored_answers(), 1u);
  Receive(1, Answer(7, "n6.test", {ARecord(9)}), 1);
  Receive(1, Answer(7, "n69.test", {ARecord(9)}), 1);
  ASSERT_EQ(done().size(), 8u);
  EXPECT_EQ(done()[7].outcome, DnsOutcome::kOk);
}

TEST_F(DnsLookupsTest, UnknownThreadsAreNotTheSameThread) {
  Send(1, Query(7, "a.test"), 0, /*thread=*/0);
  Send(2, Query(8, "a.test"), 10, /*thread=*/0);
  Shutdown();
  ASSERT_EQ(done().size(), 2u);
  EXPECT_EQ(done()[0].queries, 1);
  EXPECT_EQ(done()[1].queries, 1);
}

TEST_F(DnsLookupsTest, ShutdownEndsUnansweredLookupAsTimeout) {
  Send(1, Query(7, "a.test"), 0);
  Shutdown(3000);
  ASSERT_EQ(done().size(), 1u);
  EXPECT_EQ(done()[0].outcome, DnsOutcome::kTimeout);
  EXPECT_EQ(done()[0].ended_ns - done()[0].asked_ns, 3000 * kMillisecond);
  EXPECT_EQ(lookups_.NextDeadline(), std::numeric_limits<uint64_t>::max());
}

TEST_F(DnsLookupsTest, TruncatedUdpAnswerContinuesOverTcp) {
  constexpr unsigned kTc = 0x0200;
  Send(1, Query(7, "a.test"), 0);
  Receive(1, Answer(7, "a.test", {}, 0, 1, kTc), 10);
  EXPECT_TRUE(done().empty());
  SendTcp(2, Query(7, "a.test"), 11);
  ReceiveTcp(2, Answer(7, "a.test", {ARecord(9)}), 12);
  ASSERT_EQ(done().size(), 1u);
  EXPECT_EQ(done()[0].transport, Transport::kTcp);
  EXPECT_EQ(done()[0].queries, 2);
  EXPECT_EQ(done()[0].addresses.size(), 1u);
}

TEST_F(DnsLookupsTest, TcpConnectionsOverTheLimitAreNotRead) {
  for (uint64_t cookie = 1; cookie <= kStreamsMax + 2; ++cookie)
    SendTcp(cookie, Query(7, "n" + std::to_string(cookie) + ".test"), 0);
  EXPECT_EQ(lookups_.evicted(), 2u);
  ReceiveTcp(kStreamsMax + 1, Answer(7, "n4.test", {ARecord(9)}), 1);
  EXPECT_TRUE(done().empty());
  // A closed connection makes room.
  lookups_.OnClose(1);
  SendTcp(20, Query(7, "late.test"), 2);
  ReceiveTcp(20, Answer(7, "late.test", {ARecord(9)}), 3);
  ASSERT_EQ(done().size(), 1u);
  EXPECT_EQ(done()[0].name, "late.test");
}

TEST_F(DnsLookupsTest, RemoteNegativeAnswerExplainsLocalOneForThreeHours) {
  constexpr uint64_t kThreeHours = 3 * 3600 * 1000;
  RemoteNxdomain("nx.test", 0);
  EXPECT_EQ(LocalNxdomain("nx.test", kThreeHours - 1), DnsOutcome::kNxDomain);
  EXPECT_EQ(LocalNxdomain("nx.test", kThreeHours), DnsOutcome::kDenied);
}

TEST_F(DnsLookupsTest, NegativeCacheIsClearedAtItsLimit) {
  for (uint64_t i = 0; i <= kNegativeCacheMax; ++i)
    RemoteNxdomain("n" + std::to_string(i) + ".test", i);
  // The last one found a full cache, which was cleared for it.
  EXPECT_EQ(LocalNxdomain("n0.test", 100), DnsOutcome::kDenied);
  EXPECT_EQ(LocalNxdomain("n" + std::to_string(kNegativeCacheMax) + ".test", 101),
            DnsOutcome::kNxDomain);
}

TEST_F(DnsLookupsTest, NegativeAnswerOfALocalServerIsNotCached) {
  EXPECT_EQ(LocalNxdomain("evil.test", 0), DnsOutcome::kDenied);
  EXPECT_EQ(LocalNxdomain("evil.test", 10), DnsOutcome::kDenied);
}

// A server that never answers must not keep a lookup open for ever.
TEST_F(DnsLookupsTest, LookupEndsAfterSixTimeoutsAlsoIfItsProgramAsksOn) {
  uint64_t now_ms = 0;
  for (unsigned id = 0; done().empty(); ++id, now_ms += 100) {
    ASSERT_LE(now_ms, 40'000u);
    Expire(now_ms);
    Send(id + 1, Query(id % 65'536, "a.test"), now_ms);
  }
  ASSERT_EQ(done().size(), 1u);
  EXPECT_EQ(done()[0].outcome, DnsOutcome::kTimeout);
  EXPECT_EQ(done()[0].ended_ns - done()[0].asked_ns, 6 * 5500 * kMillisecond);
  EXPECT_EQ(done()[0].queries, 330);
}

TEST_F(DnsLookupsTest, LookupKeepsItsLatestExchanges) {
  for (unsigned i = 0; i < 1000; ++i)
    Send(i, Query(i, "a.test"), 0);
  EXPECT_EQ(lookups_.exchange_count(), OpenLookups::kExchangesPerLookupMax);
  Receive(0, Answer(0, "a.test", {ARecord(9)}), 1);
  EXPECT_EQ(lookups_.ignored_answers(), 1u);
  Receive(999, Answer(999, "a.test", {ARecord(9)}), 1);
  ASSERT_EQ(done().size(), 1u);
  EXPECT_EQ(done()[0].queries, 1000);
  EXPECT_EQ(lookups_.exchange_count(), 0u);
}

TEST_F(DnsLookupsTest, ExchangesOfAllLookupsAreLimited) {
  for (unsigned name = 0; name < 50; ++name) {
    for (unsigned i = 0; i < 60; ++i)
      Send(name * 100 + i, Query(i, "n" + std::to_string(name) + ".test"), 0, name + 1);
  }
  EXPECT_EQ(lookups_.exchange_count(), kExchangesMax);
  Receive(4959, Answer(59, "n49.test", {ARecord(9)}), 1);
  ASSERT_FALSE(done().empty());
  EXPECT_EQ(done().back().name, "n49.test");
  EXPECT_EQ(done().back().outcome, DnsOutcome::kOk);
  Shutdown();
  EXPECT_EQ(lookups_.exchange_count(), 0u);
}

TEST_F(DnsLookupsTest, ManyLookupsOfOneQuestionAreFoundById) {
  for (unsigned i = 0; i < 90; ++i)
    Send(i, Query(i, "a.test"), 0, /*thread=*/0);
  Send(1000, Query(5, "a.test"), 1, /*thread=*/0);
  EXPECT_TRUE(done().empty());
  Shutdown();
  ASSERT_EQ(done().size(), 90u);
  int retried = 0;
  for (const Lookup& lookup : done())
    retried += lookup.queries == 2;
  EXPECT_EQ(retried, 1);
}

TEST_F(DnsLookupsTest, OnlyAddressesOfTheAnswerAreLearned) {
  Send(1, Query(7, "a.test"), 0);
  Receive(1,
          Answer(7, "a.test", {Record(WireName("other.test"), 1, "\xc0\x00\x02\x07"s), ARecord(9)}),
          1);
  ASSERT_EQ(changes_.learned.size(), 1u);
  EXPECT_EQ(changes_.learned[0].address.ToString(), "192.0.2.9");
  EXPECT_EQ(changes_.learned[0].server, Server(1));
  EXPECT_EQ(done()[0].addresses.size(), 2u);
}

TEST_F(DnsLookupsTest, OtherOpcodesAreRequestsAndNoLookups) {
  unsigned id = 0;
  for (const unsigned opcode : {1u, 2u, 4u, 5u, 15u}) {
    changes_ = {};
    ++id;
    Send(1, Header(id, opcode << 11, 1, 0) + Question("zone.test", 6), 0);
    Receive(1, Header(id, 0x8000 | opcode << 11, 1, 0) + Question("zone.test", 6), 1);
    ASSERT_EQ(done().size(), 1u) << opcode;
    EXPECT_EQ(done()[0].purpose, DnsPurpose::kRequest);
    EXPECT_EQ(done()[0].opcode, opcode);
    EXPECT_EQ(done()[0].name, "zone.test");
    EXPECT_EQ(done()[0].outcome, DnsOutcome::kOk);
  }
  EXPECT_EQ(lookups_.malformed_messages(), 0u);
}

TEST_F(DnsLookupsTest, RequestAndLookupOfOneNameAreSeparate) {
  Send(1, Header(7, 5 << 11, 1, 0) + Question("a.test", 1), 0);
  Send(1, Query(7, "a.test"), 0);
  Receive(1, Answer(7, "a.test", {ARecord(9)}), 1);
  ASSERT_EQ(done().size(), 1u);
  EXPECT_EQ(done()[0].purpose, DnsPurpose::kLookup);
}

TEST_F(DnsLookupsTest, QueryWithoutQuestionIsARequest) {
  const std::string opt = std::string(1, '\0') + U16(41) + U16(1232) + testing::U32(0) + U16(0);
  const auto with_edns = [&](std::string header) {
    header[11] = 1;
    return header + opt;
  };
  Send(1, with_edns(Header(7, 0x0100, 0, 0)), 0);
  Receive(1, with_edns(Header(7, 0x8100, 0, 0)), 2);
  ASSERT_EQ(done().size(), 1u);
  EXPECT_EQ(done()[0].purpose, DnsPurpose::kRequest);
  EXPECT_EQ(done()[0].outcome, DnsOutcome::kOk);
  // Without a cookie it asks nothing.
  Send(1, Header(8, 0x0100, 0, 0), 0);
  ASSERT_EQ(done().size(), 2u);
  EXPECT_EQ(done()[1].outcome, DnsOutcome::kMalformed);
}

TEST_F(DnsLookupsTest, QueryWithTwoQuestionsIsALookupOfTheFirst) {
  Send(1, Header(7, 0x0100, 2, 0) + Question("first.test", 1) + Question("second.test", 1), 0);
  Receive(1, Header(7, 0x8181, 0, 0), 3);  // FORMERR without a question
  Shutdown(5);
  ASSERT_EQ(done().size(), 1u);
  EXPECT_EQ(done()[0].name, "first.test");
  EXPECT_EQ(done()[0].question_count, 2);
  EXPECT_EQ(done()[0].rcode, kDnsFormErr);
}

TEST_F(DnsLookupsTest, MalformedQueryKeepsItsName) {
  Send(1, Header(7, 0x0100, 2, 0) + Question("tunnel.test", 1) + "\xff", 0);
  ASSERT_EQ(done().size(), 1u);
  EXPECT_EQ(done()[0].name, "tunnel.test");
  EXPECT_EQ(done()[0].outcome, DnsOutcome::kMalformed);
}

TEST_F(DnsLookupsTest, AnswerWithoutQuestionAndErrorIsIgnored) {
  Send(1, Query(7, "a.test"), 0);
  Receive(1, Header(7, 0x8180, 0, 0), 1);
  EXPECT_EQ(lookups_.ignored_answers(), 1u);
  // Of two questions with one id, it is not known which one the server could not read.
  Send(1, Query(7, "b.test"), 2);
  Receive(1, Header(7, 0x8181, 0, 0), 3);
  EXPECT_EQ(lookups_.ignored_answers(), 2u);
}

TEST_F(DnsLookupsTest, OtherClassIsAnotherQuestionAndTeachesNothing) {
  std::string chaos = Query(7, "a.test");
  chaos.back() = 3;
  Send(1, chaos, 0);
  Send(1, Query(7, "a.test"), 0);
  std::string answer = Answer(7, "a.test", {ARecord(9)});
  answer[12 + 8 + 3] = 3;
  Receive(1, answer, 1);
  ASSERT_EQ(done().size(), 1u);
  EXPECT_EQ(done()[0].dns_class, 3);
  EXPECT_TRUE(changes_.learned.empty());
}

TEST_F(DnsLookupsTest, BytesBehindMessagesAreCounted) {
  Send(1, Query(7, "a.test") + std::string(300, 'x'), 0);
  Send(1, Query(7, "a.test") + std::string(200, 'y'), 1);
  Receive(1, Answer(7, "a.test", {ARecord(9)}) + "tail", 2);
  ASSERT_EQ(done().size(), 1u);
  EXPECT_EQ(done()[0].trailing_bytes, 504u);
  EXPECT_EQ(done()[0].queries, 2);
}

TEST_F(DnsLookupsTest, BytesBehindACutMessageAreCounted) {
  const std::string query = Query(7, "a.test");
  Keep(lookups_.OnPayload({.cookie = 1,
                           .is_query = true,
                           .process = {10, 1},
                           .server = server_,
                           .is_cut = true,
                           .payload_bytes = static_cast<uint32_t>(query.size()) + 60'000,
                           .data = query + std::string(4000, 'x')},
                          kStart));
  Shutdown();
  EXPECT_EQ(done()[0].trailing_bytes, 60'000u);
}

class ForwardedLookupTest : public DnsLookupsTest {
 protected:
  void Ask() { Send(1, Query(7, "a.test"), 0, 1, /*redirected=*/true); }
  void Forward(uint8_t server, unsigned id) {
    server_ = Server(server);
    Send(2, Query(id, "a.test"), 1, 50, false, /*pid=*/20);
  }
  void AnswerUpstream(uint8_t server, unsigned id, unsigned rcode) {
    server_ = Server(server);
    Receive(2, Answer(id, "a.test", {}, rcode), 2);
  }
  const Lookup& AnswerClient(unsigned rcode) {
    server_ = Server(1);
    Receive(1, Answer(7, "a.test", {}, rcode), 3, /*local=*/true);
    Expire(60'000);
    EXPECT_EQ(done().size(), 1u);
    return done()[0];
  }
};

TEST_F(ForwardedLookupTest, FailedLookupHasTheRcodeOfItsUpstream) {
  Ask();
  Forward(8, 90);
  AnswerUpstream(8, 90, kDnsServFail);
  const Lookup& lookup = AnswerClient(kDnsServFail);
  EXPECT_TRUE(lookup.local_server);
  ASSERT_TRUE(lookup.upstream.has_value());
  EXPECT_EQ(lookup.upstream->rcode, kDnsServFail);
  EXPECT_EQ(lookup.upstream->server, Server(8));
}

TEST_F(ForwardedLookupTest, SilentUpstreamHasNoRcode) {
  Ask();
  Forward(8, 90);
  const Lookup& lookup = AnswerClient(kDnsServFail);
  ASSERT_TRUE(lookup.upstream.has_value());
  EXPECT_FALSE(lookup.upstream->rcode.has_value());
}

TEST_F(ForwardedLookupTest, LastUpstreamServerCounts) {
  Ask();
  Forward(8, 90);
  AnswerUpstream(8, 90, kDnsRefused);
  Forward(9, 91);
  const Lookup& lookup = AnswerClient(kDnsServFail);
  EXPECT_EQ(lookup.upstream->server, Server(9));
  EXPECT_FALSE(lookup.upstream->rcode.has_value());
}

TEST_F(ForwardedLookupTest, LookupThatNobodyForwardedHasNoUpstream) {
  Ask();
  const Lookup& lookup = AnswerClient(kDnsServFail);
  EXPECT_TRUE(lookup.local_server);
  EXPECT_FALSE(lookup.upstream.has_value());
}

class MulticastDnsTest : public DnsLookupsTest {
 protected:
  static Endpoint Group() { return {Address::FromIpv4({224, 0, 0, 251}), 5353}; }
  static Endpoint Responder() { return {Address::FromIpv4({192, 0, 2, 77}), 5353}; }
  void SendToGroup(const std::string& wire) {
    server_ = Group();
    Send(1, wire, 0);
  }
  void ReceiveFromResponder(const std::string& wire, uint64_t cookie = 1) {
    server_ = Responder();
    Receive(cookie, wire, 1);
  }
  static std::string AddressOf(const std::string& host) {
    std::string record = Record(WireName(host), 1, "\xc0\x00\x02\x09"s);
    record[WireName(host).size() + 2] = static_cast<char>(0x80);  // cache-flush
    return record;
  }
};

TEST_F(MulticastDnsTest, AnswerOfAnotherHostBelongsToTheQuestion) {
  SendToGroup(Header(0, 0, 1, 0) + Question("printer.local", 1));
  ReceiveFromResponder(Header(0, 0x8400, 0, 1) + AddressOf("printer.local"));
  ASSERT_EQ(done().size(), 1u);
  EXPECT_EQ(done()[0].outcome, DnsOutcome::kOk);
  EXPECT_EQ(done()[0].server, Group());
  ASSERT_EQ(changes_.learned.size(), 1u);
  EXPECT_EQ(changes_.learned[0].name, "printer.local");
  EXPECT_EQ(changes_.learned[0].server, Responder());
}

TEST_F(MulticastDnsTest, LegacyAnswerWithIdAndQuestionBelongsToTheQuestion) {
  SendToGroup(Header(0x77aa, 0, 1, 0) + Question("printer.local", 1));
  ReceiveFromResponder(Header(0x77aa, 0x8400, 1, 1) + Question("printer.local", 1) +
                       AddressOf("printer.local"));
  ASSERT_EQ(done().size(), 1u);
  EXPECT_EQ(done()[0].outcome, DnsOutcome::kOk);
}

TEST_F(MulticastDnsTest, EachQuestionOfAMessageIsALookup) {
  SendToGroup(Header(0, 0, 2, 0) + Question("a.local", 1) + Question("b.local", 28));
  ReceiveFromResponder(Header(0, 0x8400, 0, 1) + AddressOf("a.local"));
  Shutdown();
  ASSERT_EQ(done().size(), 2u);
  EXPECT_EQ(done()[0].outcome, DnsOutcome::kOk);
  EXPECT_EQ(done()[1].name, "b.local");
  EXPECT_EQ(done()[1].outcome, DnsOutcome::kTimeout);
}

TEST_F(MulticastDnsTest, OtherTrafficOfTheGroupIsNeitherAnswerNorMalformed) {
  SendToGroup(Header(0, 0, 1, 0) + Question("a.local", 1));
  ReceiveFromResponder(Header(0, 0x8400, 0, 1) + AddressOf("other.local"));
  ReceiveFromResponder(Header(0, 0, 1, 0) + Question("b.local", 1));
  ReceiveFromResponder(Header(0, 0x8400, 0, 1) + AddressOf("a.local"), /*cookie=*/2);
  EXPECT_TRUE(done().empty());
  EXPECT_TRUE(changes_.learned.empty());
  EXPECT_EQ(lookups_.ignored_answers(), 3u);
  EXPECT_EQ(lookups_.malformed_messages(), 0u);
}

TEST_F(MulticastDnsTest, OwnResponseIsAnAnnouncement) {
  SendToGroup(Header(0, 0x8400, 0, 1) + AddressOf("mine.local"));
  ASSERT_EQ(done().size(), 1u);
  EXPECT_EQ(done()[0].purpose, DnsPurpose::kAnnouncement);
  EXPECT_EQ(done()[0].name, "mine.local");
  EXPECT_EQ(done()[0].addresses.size(), 1u);
  EXPECT_TRUE(changes_.learned.empty());
}

TEST_F(MulticastDnsTest, OtherHostsAnswerNoQuestionToOneServer) {
  server_ = {Server(1).address, 5353};
  Send(1, Query(7, "a.test"), 0);
  ReceiveFromResponder(Answer(7, "a.test", {ARecord(9)}));
  EXPECT_TRUE(done().empty());
  EXPECT_EQ(lookups_.ignored_answers(), 1u);
}

}  // namespace
}  // namespace sandpiper
