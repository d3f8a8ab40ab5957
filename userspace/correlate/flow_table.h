// SPDX-License-Identifier: Apache-2.0
// From connect, result and close events to attempts with a verdict, and connections with their
// bytes.
#ifndef SANDPIPER_USERSPACE_CORRELATE_FLOW_TABLE_H_
#define SANDPIPER_USERSPACE_CORRELATE_FLOW_TABLE_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/container/inlined_vector.h"
#include "userspace/correlate/denial.h"
#include "userspace/event/event.h"

namespace sandpiper {

// The `outcome` attribute of sandbox.connect.attempts; the middle ones are also error.type of
// egress.failed.
enum class ConnectOutcome {
  kPending,
  kEstablished,
  kDenied,
  kRefused,
  kTimeout,
  kUnreachable,
  kReset,
  kCancelled,
  kOther,
  kUnknown
};
inline constexpr int kConnectOutcomeCount = 10;
const char* Name(ConnectOutcome outcome);

// The verdict that an errno of connect(2) or send(2), or of the socket, stands for.
ConnectOutcome OutcomeOfErrno(int error);

struct Flow {
  Origin origin = 0;
  uint64_t cookie = 0;
  Transport transport = Transport::kTcp;
  ProcessKey process;
  std::string comm;
  bool is_guest = false;  // of no socket of the host: seen on a device
  Endpoint peer;
  SharedText name;  // under which the sandbox knew the address when it connected; empty if none
  uint64_t started_ns = 0;
  uint64_t decided_ns = 0;  // when the outcome was known
  ConnectOutcome outcome = ConnectOutcome::kPending;
  int error = 0;  // errno behind the outcome
  // A denial does not end an attempt: the program tries on, and gets through where the rules change
  // in time.
  DenialLayer denied_by = DenialLayer::kNone;
  uint64_t denials = 0;             // so far: datagrams of UDP; TCP has one
  uint64_t denials_reported = 0;    // of them, those that DrainDenials or OnDenied gave away
  bool reset = false;               // ended by a RST after it was established
  uint64_t sent = 0, received = 0;  // payload bytes so far
};

// What happened to a flow in one step; a flow that failed is decided and ended at once.
struct FlowChange {
  Flow flow;
  bool decided = false;
  bool ended = false;
};

using FlowChanges = absl::InlinedVector<FlowChange, 1>;

class FlowTable {
 public:
  // What the kernel side counted of one UDP flow.
  struct UdpCounts {
    uint64_t sent = 0, received = 0, denied = 0;
  };
  using ReadUdp = std::function<UdpCounts(const Flow&)>;
  struct TcpCounts {
    uint64_t sent = 0, received = 0;
  };
  // Of the living socket of this cookie; nothing if there is none.
  using ReadTcp = std::function<std::optional<TcpCounts>(uint64_t cookie)>;

  FlowTable(size_t capacity, ReadUdp read_udp)
      : capacity_(capacity), read_udp_(std::move(read_udp)) {}

  // Each appends what changed. Connect: false if the table is full and the attempt cannot be
  // followed.
  bool OnConnect(Flow flow, FlowChanges* changes);
  void OnResult(const ConnectResult& result, uint64_t time_ns, FlowChanges* changes);
  // The flow that was denied, null if it is not known. Valid until the next call.
  const Flow* OnDenied(const Denied& denied);
  // Each flow that was denied more often than was told before, with how often.
  void DrainDenials(const std::function<void(const Flow&, uint64_t)>& take);
  void OnClose(const Close& close, uint64_t time_ns, FlowChanges* changes);
  // Settles what waited for a second word; with `all`, also what is still open: a TCP attempt whose
  // end was not seen is kUnknown then.
  void Tick(uint64_t now_ns, bool all, FlowChanges* changes);

  void RefreshTcp(const ReadTcp& read_tcp);
  void RefreshUdp();
  // Flows whose sockets are gone, although nobody told so: that event was lost. Not at once, since
  // one may still be on its way.
  void EndClosedSockets(const absl::flat_hash_set<uint64_t>& living, uint64_t now_ns,
                        FlowChanges* changes);

  // When Tick has something to do; the far future if never.
  uint64_t NextDeadline() const;
  size_t size() const { return flows_.size(); }
  void ForEach(const std::function<void(const Flow&)>& visit) const;

 private:
  struct Entry {
    Flow flow;
    // A second word may come in a moment. TCP left SYN_SENT without an error: the caller gave up,
    // unless the call itself returns one. A guest was refused: by its peer, unless the host says
    // that a rule of its own did it.
    bool unsettled = false;
    int unsettled_error = 0;
    bool unseen = false;  // its socket was not among the living ones last time
    uint64_t active_ns = 0,
             active_bytes = 0;  // UDP of a guest: when it was last seen to have grown, and to what
  };
  // UDP: one socket, many peers. TCP: the peer is left out.
  using Key = std::pair<uint64_t, Endpoint>;
  using Table = std::map<Key, Entry>;

  static Key KeyOf(const Flow& flow);
  // The flow that an event speaks of: by its peer, else the newest of the socket.
  Table::iterator Find(uint64_t cookie, Transport transport, const Endpoint& peer);
  void RefreshUdp(Flow* flow);
  void Settle(Entry* entry, uint64_t time_ns);
  // Flows of guests that nobody tells the end of.
  void EndOfGuests(uint64_t now_ns, FlowChanges* changes);
  void Decide(Entry* entry, ConnectOutcome outcome, int error, uint64_t time_ns);
  Table::iterator End(Table::iterator it, bool decided_now, FlowChanges* changes);

  size_t capacity_;
  ReadUdp read_udp_;
  Table flows_;
  std::multimap<uint64_t, Key> unsettled_;  // by time
  uint64_t next_guests_ns_ = std::numeric_limits<uint64_t>::max();
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CORRELATE_FLOW_TABLE_H_
