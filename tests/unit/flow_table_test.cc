// SPDX-License-Identifier: Apache-2.0
#include "userspace/correlate/flow_table.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <map>
#include <optional>
#include <random>

#include "userspace/base/clock.h"

namespace sandpiper {
namespace {

Endpoint Peer(uint8_t last, uint16_t port = 443) {
  const uint8_t octets[4] = {198, 51, 100, last};
  return {Address::FromIpv4(octets), port};
}

class FlowTableTest : public ::testing::Test {
 protected:
  bool Connect(uint64_t cookie, uint8_t peer, uint64_t at, Transport transport = Transport::kTcp) {
    const auto changes = table_.OnConnect({.cookie = cookie,
                                           .transport = transport,
                                           .process = {1, 1},
                                           .comm = "c",
                                           .peer = Peer(peer),
                                           .name = "",
                                           .started_ns = at});
    if (changes)
      Keep(*changes);
    return changes.has_value();
  }
  void Keep(const FlowChanges& changes) {
    changes_.insert(changes_.end(), changes.begin(), changes.end());
  }
  // A flow of a guest behind a device. No event reports that it gave up.
  void ConnectGuest(uint64_t cookie, uint64_t at, Transport transport) {
    table_.OnConnect({.cookie = cookie,
                      .transport = transport,
                      .process = {},
                      .comm = "",
                      .is_guest = true,
                      .peer = Peer(1),
                      .name = "",
                      .started_ns = at});
  }
  void Result(uint64_t cookie, bool established, int error, uint64_t at,
              Transport transport = Transport::kTcp, Endpoint peer = {}, bool returned = false) {
    Keep(table_.OnResult({.cookie = cookie,
                          .transport = transport,
                          .peer = peer,
                          .established = established,
                          .returned = returned,
                          .error = error},
                         at));
  }
  void Close(uint64_t cookie, uint64_t at, Transport transport = Transport::kTcp, uint64_t sent = 0,
             uint64_t received = 0, int error = 0) {
    Keep(table_.OnClose({.cookie = cookie,
                         .transport = transport,
                         .sent = sent,
                         .received = received,
                         .error = error},
                        at));
  }
  // Returns the only change since the last call.
  FlowChange One() {
    EXPECT_EQ(changes_.size(), 1u);
    const FlowChange change = changes_.empty() ? FlowChange{} : changes_[0];
    changes_.clear();
    return change;
  }

  std::map<Endpoint, FlowTable::UdpCounts> udp_bytes_;
  FlowTable table_{1000, [this](const Flow& flow) { return udp_bytes_[flow.peer]; }};
  FlowChanges changes_;
};

TEST_F(FlowTableTest, CloseEndsEstablishedFlowWithItsBytes) {
  Connect(1, 1, 100);
  Result(1, true, 0, 150);
  FlowChange change = One();
  EXPECT_TRUE(change.decided && !change.ended);
  EXPECT_EQ(change.flow.outcome, ConnectOutcome::kEstablished);
  EXPECT_EQ(change.flow.decided_ns - change.flow.started_ns, 50u);
  Close(1, 200, Transport::kTcp, 10, 20);
  change = One();
  EXPECT_TRUE(!change.decided && change.ended);
  EXPECT_EQ(change.flow.sent, 10u);
  EXPECT_EQ(change.flow.received, 20u);
  EXPECT_FALSE(change.flow.reset);
  EXPECT_EQ(table_.size(), 0u);
}

TEST_F(FlowTableTest, FlowWithLostCloseEndsWhenItsSocketIsMissingTwice) {
  Connect(1, 1, 100);
  Connect(2, 2, 100);
  Result(2, true, 0, 150);
  Connect(3, 3, 100, Transport::kUdp);
  ConnectGuest(4, 100, Transport::kTcp);
  Connect(5, 5, 100);
  changes_.clear();
  Keep(table_.EndClosedSockets({5}, 200));
  EXPECT_TRUE(changes_.empty());
  EXPECT_EQ(table_.size(), 5u);
  Keep(table_.EndClosedSockets({2, 5}, 300));
  EXPECT_EQ(changes_.size(), 2u);  // 1 and 3; socket 2 is open, and the guest 4 has none
  for (const FlowChange& change : changes_) {
    EXPECT_TRUE(change.decided && change.ended);
    EXPECT_EQ(change.flow.outcome, ConnectOutcome::kUnknown);
  }
  changes_.clear();
  Keep(table_.EndClosedSockets({5}, 400));
  Keep(table_.EndClosedSockets({5}, 500));
  const FlowChange change = One();
  EXPECT_TRUE(!change.decided && change.ended);
  EXPECT_EQ(change.flow.outcome, ConnectOutcome::kEstablished);
}

TEST_F(FlowTableTest, DeniedAttemptThatFailsIsDenied) {
  for (const int error : {ETIMEDOUT, ECONNREFUSED, EHOSTUNREACH, 0}) {
    Connect(1, 1, 0);
    const Flow* denied =
        table_.OnDenied({.cookie = 1, .transport = Transport::kTcp, .peer = Peer(1)});
    ASSERT_NE(denied, nullptr);
    EXPECT_EQ(denied->outcome, ConnectOutcome::kPending);
    Result(1, false, error, 10);
    Keep(table_.ExpireDue(kSecond));
    const FlowChange change = One();
    EXPECT_EQ(change.flow.outcome, ConnectOutcome::kDenied) << error;
    EXPECT_EQ(change.flow.denied_by, DenialLayer::kNetfilter);
  }
}

TEST_F(FlowTableTest, DeniedAttemptThatSucceedsIsEstablished) {
  Connect(1, 1, 0);
  table_.OnDenied({.cookie = 1, .transport = Transport::kTcp, .peer = Peer(1)});
  Result(1, true, 0, 10);
  EXPECT_EQ(One().flow.outcome, ConnectOutcome::kEstablished);
  EXPECT_EQ(table_.OnDenied({.cookie = 2, .transport = Transport::kTcp, .peer = Peer(1)}), nullptr);
}

TEST_F(FlowTableTest, ErrorOfDeniedUdpFlowDoesNotEndIt) {
  Connect(1, 1, 0, Transport::kUdp);
  table_.OnDenied({.cookie = 1, .transport = Transport::kUdp, .peer = Peer(1)});
  udp_bytes_[Peer(1)] = {.sent = 0, .received = 0, .denied = 3};
  Result(1, false, EPERM, 10, Transport::kUdp, Peer(1), true);
  EXPECT_TRUE(changes_.empty());
  uint64_t more = 0;
  table_.RefreshUdp();
  table_.DrainDenials([&](const Flow&, uint64_t count) { more += count; });
  EXPECT_EQ(more, 2u);  // OnDenied returned the first one
  udp_bytes_[Peer(1)].denied = 7;
  Close(1, 20, Transport::kUdp);
  const FlowChange change = One();
  EXPECT_EQ(change.flow.outcome, ConnectOutcome::kDenied);
  EXPECT_EQ(change.flow.denials - change.flow.denials_reported, 4u);
}

TEST_F(FlowTableTest, PermissionErrorWithoutNetfilterIsDeniedByTheCgroup) {
  Connect(1, 1, 0);
  Result(1, false, EPERM, 1, Transport::kTcp, {}, true);
  const FlowChange change = One();
  EXPECT_EQ(change.flow.outcome, ConnectOutcome::kDenied);
  EXPECT_EQ(change.flow.denied_by, DenialLayer::kCgroup);
}

TEST_F(FlowTableTest, ResetEndsEstablishedFlowAsReset) {
  Connect(1, 1, 0);
  Result(1, true, 0, 1);
  One();
  Close(1, 2, Transport::kTcp, 1, 0, ECONNRESET);
  EXPECT_TRUE(One().flow.reset);
}

TEST_F(FlowTableTest, EachErrnoHasItsOutcome) {
  const std::pair<int, ConnectOutcome> cases[] = {
      {ECONNREFUSED, ConnectOutcome::kRefused},    {ETIMEDOUT, ConnectOutcome::kTimeout},
      {ENETUNREACH, ConnectOutcome::kUnreachable}, {EHOSTUNREACH, ConnectOutcome::kUnreachable},
      {ECONNRESET, ConnectOutcome::kReset},        {EPERM, ConnectOutcome::kDenied},
      {EACCES, ConnectOutcome::kDenied},           {EADDRNOTAVAIL, ConnectOutcome::kOther}};
  for (const auto& [error, outcome] : cases) {
    Connect(1, 1, 0);
    Result(1, false, error, 1);
    const FlowChange change = One();
    EXPECT_TRUE(change.decided && change.ended);
    EXPECT_EQ(change.flow.outcome, outcome) << error;
    EXPECT_EQ(change.flow.error, error);
  }
}

TEST_F(FlowTableTest, AttemptWithoutErrorIsCancelledAfterTheWait) {
  Connect(1, 1, 0);
  Result(1, false, 0, 10);
  Close(1, 11);
  EXPECT_TRUE(changes_.empty());
  EXPECT_EQ(table_.NextDeadline(), 10 + 50 * kMillisecond);
  Keep(table_.ExpireDue(9 + 50 * kMillisecond));
  EXPECT_TRUE(changes_.empty());
  Keep(table_.ExpireDue(10 + 50 * kMillisecond));
  EXPECT_EQ(One().flow.outcome, ConnectOutcome::kCancelled);
}

TEST_F(FlowTableTest, ErrorOfTheCallReplacesProvisionalCancel) {
  Connect(1, 1, 0);
  Result(1, false, 0, 10);
  Result(1, false, EADDRNOTAVAIL, 11, Transport::kTcp, {}, true);
  EXPECT_EQ(One().flow.outcome, ConnectOutcome::kOther);
  Keep(table_.ExpireDue(kSecond));
  EXPECT_TRUE(changes_.empty());
}

TEST_F(FlowTableTest, CloseEndsUndecidedAttemptAsOther) {
  Connect(1, 1, 0);
  Close(1, 5);
  EXPECT_EQ(One().flow.outcome, ConnectOutcome::kOther);
}

TEST_F(FlowTableTest, SecondConnectOfASocketEndsTheFirst) {
  Connect(1, 1, 0);
  Connect(1, 2, 5);
  EXPECT_EQ(One().flow.peer, Peer(1));
  Result(1, true, 0, 6);
  EXPECT_EQ(One().flow.peer, Peer(2));
}

TEST_F(FlowTableTest, LateErrorDoesNotChangeTheOutcome) {
  Connect(1, 1, 0);
  Result(1, true, 0, 1);
  One();
  Result(1, false, ECONNREFUSED, 2);
  EXPECT_TRUE(changes_.empty());
}

TEST_F(FlowTableTest, UdpSocketHasOneFlowForEachPeer) {
  Connect(1, 1, 0, Transport::kUdp);
  Connect(1, 2, 1, Transport::kUdp);
  Connect(1, 3, 2, Transport::kUdp);
  Result(1, true, 0, 3, Transport::kUdp, Peer(2));
  EXPECT_EQ(One().flow.peer, Peer(2));
  Result(1, false, ENETUNREACH, 4, Transport::kUdp);  // without a peer: the newest flow
  EXPECT_EQ(One().flow.peer, Peer(3));
  udp_bytes_[Peer(1)] = {7, 0};
  udp_bytes_[Peer(2)] = {8, 9};
  Close(1, 5, Transport::kUdp);
  ASSERT_EQ(changes_.size(), 2u);
  EXPECT_EQ(changes_[0].flow.outcome, ConnectOutcome::kOther);
  EXPECT_EQ(changes_[0].flow.sent, 7u);
  EXPECT_EQ(changes_[1].flow.outcome, ConnectOutcome::kEstablished);
  EXPECT_EQ(changes_[1].flow.received, 9u);
}

// A full buffer, or a datagram that is too large, does not concern the peer.
TEST_F(FlowTableTest, ErrorOfOneDatagramDoesNotEndItsFlow) {
  for (const int error : {EAGAIN, ENOBUFS, EMSGSIZE}) {
    Connect(1, 1, 0, Transport::kUdp);
    Result(1, false, error, 1, Transport::kUdp, Peer(1), true);
    EXPECT_TRUE(changes_.empty()) << error;
    udp_bytes_[Peer(1)] = {8, 9};
    Close(1, 2, Transport::kUdp);
    const FlowChange change = One();
    EXPECT_EQ(change.flow.outcome, ConnectOutcome::kEstablished);
    EXPECT_EQ(change.flow.sent, 8u);
  }
}

// A BPF program that missed the bytes reports zero. Earlier readings are better than that.
TEST_F(FlowTableTest, CloseWithoutBytesKeepsTheLastReading) {
  Connect(1, 1, 0);
  Result(1, true, 0, 1);
  One();
  table_.RefreshTcp([](uint64_t) { return FlowTable::TcpCounts{.sent = 10, .received = 20}; });
  Close(1, 2, Transport::kTcp, 0, 0);
  const FlowChange change = One();
  EXPECT_EQ(change.flow.sent, 10u);
  EXPECT_EQ(change.flow.received, 20u);
}

TEST_F(FlowTableTest, RefreshTcpSkipsClosedSocketsAndUdp) {
  Connect(1, 1, 0);
  Connect(2, 2, 0);
  Connect(3, 3, 0, Transport::kUdp);
  table_.RefreshTcp([](uint64_t cookie) {
    return cookie == 2 ? std::nullopt
                       : std::optional(FlowTable::TcpCounts{.sent = cookie, .received = 7});
  });
  std::map<uint64_t, uint64_t> received;
  table_.ForEach([&](const Flow& flow) { received[flow.cookie] = flow.received; });
  EXPECT_EQ(received, (std::map<uint64_t, uint64_t>{{1, 7}, {2, 0}, {3, 0}}));
}

TEST_F(FlowTableTest, ShutdownEndsOpenFlows) {
  Connect(1, 1, 0);
  Connect(2, 2, 0, Transport::kUdp);
  Connect(3, 3, 0, Transport::kUdp);
  udp_bytes_[Peer(3)] = {.sent = 1, .received = 1, .denied = 0};
  Keep(table_.Shutdown(9));
  ASSERT_EQ(changes_.size(), 3u);
  EXPECT_EQ(changes_[0].flow.outcome, ConnectOutcome::kUnknown);
  EXPECT_EQ(changes_[1].flow.outcome, ConnectOutcome::kOther);
  EXPECT_EQ(changes_[2].flow.outcome, ConnectOutcome::kEstablished);
  EXPECT_EQ(table_.size(), 0u);
}

TEST_F(FlowTableTest, FullTableRejectsNewAttempt) {
  for (uint64_t cookie = 0; cookie < 1000; ++cookie)
    EXPECT_TRUE(Connect(cookie, 1, cookie));
  EXPECT_FALSE(Connect(1000, 1, 1000));
  EXPECT_EQ(table_.size(), 1000u);
  // A socket that is in the table may connect again.
  EXPECT_TRUE(Connect(5, 2, 1001));
}

TEST_F(FlowTableTest, AnyOrderOfEventsDecidesAndEndsEachFlowOnce) {
  std::mt19937 random(5);
  uint64_t kept = 0;
  uint64_t decided = 0;
  uint64_t ended = 0;
  for (uint64_t now = 1; now < 100000; ++now) {
    const uint64_t cookie = 1 + random() % 40;
    const Transport transport = cookie % 2 ? Transport::kTcp : Transport::kUdp;
    switch (random() % 6) {
      case 0:
        kept += Connect(cookie, static_cast<uint8_t>(random() % 3), now, transport);
        break;
      case 1:
        Result(cookie, true, 0, now, transport);
        break;
      case 2:
        Result(cookie, false, random() % 2 ? ECONNREFUSED : 0, now, transport);
        break;
      case 3:
        Close(cookie, now, transport, random() % 100, random() % 100);
        break;
      default:
        Keep(table_.ExpireDue(now * kMillisecond));
    }
    for (const FlowChange& change : changes_) {
      decided += change.decided;
      ended += change.ended;
    }
    changes_.clear();
    ASSERT_EQ(kept - ended, table_.size());
  }
  Keep(table_.Shutdown(0));
  for (const FlowChange& change : changes_) {
    decided += change.decided;
    ended += change.ended;
  }
  EXPECT_EQ(ended, kept);
  EXPECT_EQ(decided, kept);
  EXPECT_EQ(table_.size(), 0u);
}

TEST_F(FlowTableTest, GuestAttemptWithoutAnswerTimesOut) {
  ConnectGuest(1, kSecond, Transport::kTcp);
  Keep(table_.ExpireDue(100 * kSecond));
  EXPECT_TRUE(changes_.empty());
  EXPECT_LE(table_.NextDeadline(), 131 * kSecond);
  Keep(table_.ExpireDue(131 * kSecond));
  EXPECT_EQ(One().flow.outcome, ConnectOutcome::kTimeout);
}

TEST_F(FlowTableTest, EstablishedGuestConnectionDoesNotExpire) {
  ConnectGuest(1, kSecond, Transport::kTcp);
  Result(1, true, 0, 2 * kSecond);
  One();
  Keep(table_.ExpireDue(10'000 * kSecond));
  EXPECT_TRUE(changes_.empty());
  EXPECT_EQ(table_.size(), 1u);
}

TEST_F(FlowTableTest, GuestUdpFlowEndsWhenIdle) {
  ConnectGuest(1, 0, Transport::kUdp);
  for (uint64_t now = 120; now <= 1200; now += 60) {
    udp_bytes_[Peer(1)] = {.sent = now, .received = now};
    table_.RefreshUdp();  // each window does so; the table must still see the growth
    Keep(table_.ExpireDue(now * kSecond));
    ASSERT_TRUE(changes_.empty());
  }
  Keep(table_.ExpireDue(1321 * kSecond));
  const FlowChange change = One();
  EXPECT_EQ(change.flow.outcome, ConnectOutcome::kEstablished);
  EXPECT_EQ(change.flow.sent, 1200u);
}

// The host sends its own reject to the guest before it frees the packet and reports the denial.
TEST_F(FlowTableTest, GuestRejectedByARuleOfTheHostIsDenied) {
  for (const bool rule : {true, false}) {
    ConnectGuest(1, kSecond, Transport::kTcp);
    Result(1, false, ECONNREFUSED, kSecond + 1);
    EXPECT_TRUE(changes_.empty());
    if (rule)
      table_.OnDenied(
          {.cookie = 1, .transport = Transport::kTcp, .process = {}, .comm = "", .peer = Peer(1)});
    Keep(table_.ExpireDue(2 * kSecond));
    EXPECT_EQ(One().flow.outcome, rule ? ConnectOutcome::kDenied : ConnectOutcome::kRefused);
  }
}

}  // namespace
}  // namespace sandpiper
