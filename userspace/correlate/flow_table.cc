// SPDX-License-Identifier: Apache-2.0
#include "userspace/correlate/flow_table.h"

#include <algorithm>
#include <cerrno>
#include <limits>

#include "userspace/base/clock.h"

namespace sandpiper {
namespace {

// The error of a call is told within microseconds of the change of state; the rest is slack for a
// loaded host.
constexpr uint64_t kSettle = 50 * kMillisecond;
// Nobody tells when the guest behind a device gives up: tcp(7), tcp_syn_retries takes 127 s;
// nf_conntrack_udp_timeout_stream.
constexpr uint64_t kGuestGivesUp = 130 * kSecond;
constexpr uint64_t kGuestUdpIdle = 120 * kSecond;

}  // namespace

const char* Name(ConnectOutcome outcome) {
  static constexpr const char* kNames[kConnectOutcomeCount] = {
      "pending",     "established", "denied",    "refused", "timeout",
      "unreachable", "reset",       "cancelled", "other",   "unknown"};
  return kNames[static_cast<int>(outcome)];
}

ConnectOutcome OutcomeOfErrno(int error) {
  switch (error) {
    case EPERM:
    case EACCES:
      return ConnectOutcome::kDenied;
    case ECONNREFUSED:
      return ConnectOutcome::kRefused;
    case ETIMEDOUT:
      return ConnectOutcome::kTimeout;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
      return ConnectOutcome::kUnreachable;
    case ECONNRESET:
    case EPIPE:
      return ConnectOutcome::kReset;
    default:
      return ConnectOutcome::kOther;
  }
}

FlowTable::Key FlowTable::KeyOf(const Flow& flow) {
  return {flow.cookie, flow.transport == Transport::kTcp ? Endpoint{} : flow.peer};
}

void FlowTable::Decide(Entry* entry, ConnectOutcome outcome, int error, uint64_t time_ns) {
  const bool failed = outcome != ConnectOutcome::kEstablished;
  if (outcome == ConnectOutcome::kDenied && entry->flow.denied_by == DenialLayer::kNone) {
    // Netfilter tells of its own denials, and before the call returns.
    entry->flow.denied_by = DenialLayer::kCgroup;
    entry->flow.denials = 1;  // told by who decides
  }
  entry->flow.outcome =
      failed && entry->flow.denied_by != DenialLayer::kNone ? ConnectOutcome::kDenied : outcome;
  entry->flow.error = error;
  entry->flow.decided_ns = time_ns;
}

void FlowTable::Settle(Entry* entry, uint64_t time_ns) {
  const int error = entry->unsettled_error;
  Decide(entry, error == 0 ? ConnectOutcome::kCancelled : OutcomeOfErrno(error), error, time_ns);
}

FlowTable::Table::iterator FlowTable::End(Table::iterator it, bool decided_now,
                                          FlowChanges* changes) {
  changes->push_back({.flow = std::move(it->second.flow), .decided = decided_now, .ended = true});
  return flows_.erase(it);
}

bool FlowTable::OnConnect(Flow flow, FlowChanges* changes) {
  // A socket that tries again: what became of the attempt before is as known as it will ever be.
  if (const auto before = flows_.find(KeyOf(flow)); before != flows_.end()) {
    const bool open = before->second.flow.outcome == ConnectOutcome::kPending;
    if (open && before->second.unsettled)
      Settle(&before->second, flow.started_ns);
    else if (open)
      Decide(&before->second, ConnectOutcome::kOther, 0, flow.started_ns);
    End(before, open, changes);
  }
  if (flows_.size() >= capacity_)
    return false;
  if (flow.is_guest)
    next_guests_ns_ =
        std::min(next_guests_ns_, flow.started_ns + std::min(kGuestGivesUp, kGuestUdpIdle));
  const Key key = KeyOf(flow);
  flows_.emplace(key, Entry{.flow = std::move(flow)});
  return true;
}

FlowTable::Table::iterator FlowTable::Find(uint64_t cookie, Transport transport,
                                           const Endpoint& peer) {
  if (transport == Transport::kTcp)
    return flows_.find({cookie, Endpoint{}});
  if (const auto exact = flows_.find({cookie, peer}); exact != flows_.end())
    return exact;
  auto newest = flows_.end();
  if (peer != Endpoint{})
    return newest;
  for (auto it = flows_.lower_bound({cookie, Endpoint{}});
       it != flows_.end() && it->first.first == cookie; ++it) {
    if (newest == flows_.end() || it->second.flow.started_ns > newest->second.flow.started_ns)
      newest = it;
  }
  return newest;
}

void FlowTable::OnResult(const ConnectResult& result, uint64_t time_ns, FlowChanges* changes) {
  const auto it = Find(result.cookie, result.transport, result.peer);
  if (it == flows_.end() || it->second.flow.outcome != ConnectOutcome::kPending)
    return;
  Entry& entry = it->second;
  if (result.established) {
    Decide(&entry, ConnectOutcome::kEstablished, 0, time_ns);
    changes->push_back({.flow = entry.flow, .decided = true, .ended = false});
    return;
  }
  if (result.error == 0 || (entry.flow.is_guest && entry.flow.denied_by == DenialLayer::kNone)) {
    if (!entry.unsettled)
      unsettled_.emplace(time_ns, it->first);
    entry.unsettled = true;
    entry.unsettled_error = result.error;
    return;
  }
  // Each send of a denied flow fails; the flow goes on, and a later one may get through.
  if (result.transport == Transport::kUdp && entry.flow.denied_by != DenialLayer::kNone)
    return;
  const ConnectOutcome outcome = OutcomeOfErrno(result.error);
  // Of one datagram, as EAGAIN or EMSGSIZE: it says nothing of the peer, and the next one may get
  // through.
  if (result.transport == Transport::kUdp && outcome == ConnectOutcome::kOther)
    return;
  Decide(&entry, outcome, result.error, time_ns);
  if (entry.flow.transport == Transport::kUdp)
    RefreshUdp(&entry.flow);
  End(it, true, changes);
}

const Flow* FlowTable::OnDenied(const Denied& denied) {
  const auto it = Find(denied.cookie, denied.transport, denied.peer);
  if (it == flows_.end())
    return nullptr;
  Flow& flow = it->second.flow;
  flow.denied_by = DenialLayer::kNetfilter;
  flow.denials = std::max<uint64_t>(flow.denials, 1);
  flow.denials_reported = std::max<uint64_t>(flow.denials_reported, 1);
  return &flow;
}

void FlowTable::DrainDenials(const std::function<void(const Flow&, uint64_t)>& take) {
  for (auto& [key, entry] : flows_) {
    Flow& flow = entry.flow;
    if (flow.denials > flow.denials_reported)
      take(flow, flow.denials - flow.denials_reported);
    flow.denials_reported = flow.denials;
  }
}

void FlowTable::RefreshUdp(Flow* flow) {
  const UdpCounts counts = read_udp_(*flow);
  flow->sent = counts.sent;
  flow->received = counts.received;
  flow->denials = std::max(flow->denials, counts.denied);
}

void FlowTable::OnClose(const Close& close, uint64_t time_ns, FlowChanges* changes) {
  for (auto it = flows_.lower_bound({close.cookie, Endpoint{}});
       it != flows_.end() && it->first.first == close.cookie;) {
    Entry& entry = it->second;
    Flow& flow = entry.flow;
    if (flow.transport == Transport::kUdp) {
      RefreshUdp(&flow);
    } else if (close.sent | close.received) {
      flow.sent = close.sent;
      flow.received = close.received;
    }
    if (entry.unsettled) {
      ++it;  // Tick decides and ends it
      continue;
    }
    const bool decided_now = flow.outcome == ConnectOutcome::kPending;
    if (decided_now) {
      const bool answered = flow.transport == Transport::kUdp && flow.received > 0;
      Decide(&entry, answered ? ConnectOutcome::kEstablished : ConnectOutcome::kOther, 0, time_ns);
    }
    flow.reset = flow.outcome == ConnectOutcome::kEstablished && close.error == ECONNRESET;
    it = End(it, decided_now, changes);
  }
}

void FlowTable::Tick(uint64_t now_ns, bool all, FlowChanges* changes) {
  while (!unsettled_.empty() && (all || unsettled_.begin()->first + kSettle <= now_ns)) {
    const auto [time_ns, key] = *unsettled_.begin();
    unsettled_.erase(unsettled_.begin());
    const auto it = flows_.find(key);
    if (it == flows_.end() || !it->second.unsettled ||
        it->second.flow.outcome != ConnectOutcome::kPending)
      continue;
    if (it->second.flow.transport == Transport::kUdp)
      RefreshUdp(&it->second.flow);
    Settle(&it->second, time_ns);
    End(it, true, changes);
  }
  if (!all) {
    EndOfGuests(now_ns, changes);
    return;
  }
  RefreshUdp();
  for (auto it = flows_.begin(); it != flows_.end();) {
    const Flow& flow = it->second.flow;
    const bool decided_now = flow.outcome == ConnectOutcome::kPending;
    if (decided_now) {
      const ConnectOutcome outcome = flow.transport == Transport::kTcp ? ConnectOutcome::kUnknown
                                     : flow.received > 0 ? ConnectOutcome::kEstablished
                                                         : ConnectOutcome::kOther;
      Decide(&it->second, outcome, 0, now_ns);
    }
    it = End(it, decided_now, changes);
  }
}

void FlowTable::EndClosedSockets(const absl::flat_hash_set<uint64_t>& living, uint64_t now_ns,
                                 FlowChanges* changes) {
  for (auto it = flows_.begin(); it != flows_.end();) {
    Flow& flow = it->second.flow;
    const bool gone = !flow.is_guest && !living.contains(flow.cookie);
    if (!gone || !it->second.unseen) {
      it->second.unseen = gone;
      ++it;
      continue;
    }
    const bool pending = flow.outcome == ConnectOutcome::kPending;
    if (pending)
      Decide(&it->second, ConnectOutcome::kUnknown, 0, now_ns);
    it = End(it, pending, changes);
  }
}

void FlowTable::EndOfGuests(uint64_t now_ns, FlowChanges* changes) {
  if (now_ns < next_guests_ns_)
    return;
  next_guests_ns_ = std::numeric_limits<uint64_t>::max();
  for (auto it = flows_.begin(); it != flows_.end();) {
    Flow& flow = it->second.flow;
    const bool tcp = flow.transport == Transport::kTcp,
               pending = flow.outcome == ConnectOutcome::kPending;
    if (!flow.is_guest || (tcp && !pending)) {
      ++it;
      continue;
    }
    uint64_t due = flow.started_ns + kGuestGivesUp;
    if (!tcp) {
      RefreshUdp(&flow);
      if (const uint64_t bytes = flow.sent + flow.received;
          it->second.active_ns == 0 || bytes != it->second.active_bytes) {
        it->second.active_ns = now_ns;
        it->second.active_bytes = bytes;
      }
      due = it->second.active_ns + kGuestUdpIdle;
    }
    if (now_ns < due) {
      next_guests_ns_ = std::min(next_guests_ns_, due);
      ++it;
      continue;
    }
    if (pending)
      Decide(&it->second,
             tcp                 ? ConnectOutcome::kTimeout
             : flow.received > 0 ? ConnectOutcome::kEstablished
                                 : ConnectOutcome::kOther,
             0, now_ns);
    it = End(it, pending, changes);
  }
}

void FlowTable::RefreshTcp(const ReadTcp& read_tcp) {
  for (auto& [key, entry] : flows_) {
    if (entry.flow.transport != Transport::kTcp)
      continue;
    if (const auto counts = read_tcp(entry.flow.cookie)) {
      entry.flow.sent = counts->sent;
      entry.flow.received = counts->received;
    }
  }
}

void FlowTable::RefreshUdp() {
  for (auto& [key, entry] : flows_) {
    if (entry.flow.transport == Transport::kUdp)
      RefreshUdp(&entry.flow);
  }
}

uint64_t FlowTable::NextDeadline() const {
  return std::min(next_guests_ns_, unsettled_.empty() ? std::numeric_limits<uint64_t>::max()
                                                      : unsettled_.begin()->first + kSettle);
}

void FlowTable::ForEach(const std::function<void(const Flow&)>& visit) const {
  for (const auto& [key, entry] : flows_)
    visit(entry.flow);
}

}  // namespace sandpiper
