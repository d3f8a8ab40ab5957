// SPDX-License-Identifier: Apache-2.0
// Joins connect, result and close events into connection attempts with an outcome, and counts the
// bytes of each connection.
#ifndef SANDPIPER_USERSPACE_CORRELATE_FLOW_TABLE_H_
#define SANDPIPER_USERSPACE_CORRELATE_FLOW_TABLE_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/container/inlined_vector.h"
#include "userspace/correlate/flow.h"
#include "userspace/event/event.h"

namespace sandpiper {

// One step of a flow. A flow that fails is decided and ended in the same step.
struct FlowChange {
  Flow flow;
  bool decided = false;
  bool ended = false;
};

using FlowChanges = absl::InlinedVector<FlowChange, 1>;

// The open flows of one sandbox. SandboxSession owns it and calls it on the event loop only.
class FlowTable {
 public:
  // Counters of one UDP flow, which the BPF programs keep.
  struct UdpCounts {
    uint64_t sent = 0;
    uint64_t received = 0;
    uint64_t denied = 0;
  };
  using UdpReader = std::function<UdpCounts(const Flow&)>;
  struct TcpCounts {
    uint64_t sent = 0;
    uint64_t received = 0;
  };
  // Counters of the open socket with this cookie, or nothing if no such socket is open.
  using TcpReader = std::function<std::optional<TcpCounts>(uint64_t cookie)>;

  FlowTable(size_t capacity, UdpReader read_udp)
      : capacity_(capacity), read_udp_(std::move(read_udp)) {}

  // Nothing if the table is full: the attempt is not followed then.
  std::optional<FlowChanges> OnConnect(Flow flow);
  FlowChanges OnResult(const ConnectResult& result, uint64_t time_ns);
  // The denied flow, or null if the table does not contain it. Valid until the next call.
  const Flow* OnDenied(const Denied& denied);
  // Calls `visit` with each flow that has unreported denials, and with their number. They count as
  // reported afterwards.
  void DrainDenials(const std::function<void(const Flow&, uint64_t count)>& visit);
  FlowChanges OnClose(const Close& close, uint64_t time_ns);
  // Ends provisional results after their wait, and flows of guests after their timeout.
  FlowChanges ExpireDue(uint64_t now_ns);
  // Ends every flow. A TCP attempt without a result becomes kUnknown.
  FlowChanges Shutdown(uint64_t now_ns);

  void RefreshTcp(const TcpReader& read_tcp);
  void RefreshUdp();
  // Ends flows after the loss of their close event. `open_cookies` are the sockets that are open
  // now. A flow ends if its socket is missing in two calls in a row. After one call its close event
  // may still be queued.
  FlowChanges EndClosedSockets(const absl::flat_hash_set<uint64_t>& open_cookies, uint64_t now_ns);

  // The next time at which ExpireDue has work; the maximum of uint64_t if there is none.
  uint64_t NextDeadline() const;
  size_t size() const { return flows_.size(); }
  void ForEach(const std::function<void(const Flow&)>& visit) const;

 private:
  struct Entry {
    Flow flow;
    // Another result may follow within kSecondResultWait. TCP: the socket left SYN_SENT without an
    // error, so the caller gave up unless connect returns an error. Guest: the peer rejected the
    // attempt, unless the host reports that one of its own rules did.
    bool is_provisional = false;
    int provisional_error = 0;
    bool was_missing = false;  // its socket was not open at the last EndClosedSockets
    // UDP of a guest: time of the last growth that was seen, and the bytes at that time.
    uint64_t grew_at_ns = 0;
    uint64_t grew_to_bytes = 0;
  };
  // Cookie and peer. UDP: one socket has a flow for each peer. TCP: the peer is left out.
  using Key = std::pair<uint64_t, Endpoint>;
  using Table = std::map<Key, Entry>;
  // Whether the outcome of a flow that ends was reported before, or is new.
  enum class Verdict { kReported, kNew };

  static Key KeyOf(const Flow& flow);
  // The flow with this peer; without a peer, the newest flow of the socket.
  Table::iterator Find(uint64_t cookie, Transport transport, const Endpoint& peer);
  void RefreshUdp(Flow* flow);
  void Decide(Entry* entry, ConnectOutcome outcome, int error, uint64_t time_ns);
  void DecideProvisional(Entry* entry, uint64_t time_ns);
  Table::iterator End(Table::iterator it, Verdict verdict, FlowChanges* changes);
  // Ends the provisional flows that have waited long enough at `now_ns`.
  void EndProvisional(uint64_t now_ns, FlowChanges* changes);
  // Ends flows of guests: no event reports their end.
  void EndIdleGuests(uint64_t now_ns, FlowChanges* changes);

  size_t capacity_;
  UdpReader read_udp_;
  Table flows_;
  std::multimap<uint64_t, Key> provisional_;  // by the time of the first result
  uint64_t next_guest_check_ns_ = std::numeric_limits<uint64_t>::max();
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CORRELATE_FLOW_TABLE_H_
