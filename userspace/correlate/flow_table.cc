// SPDX-License-Identifier: Apache-2.0
#include "userspace/correlate/flow_table.h"

#include <algorithm>
#include <cerrno>
#include <limits>

#include "userspace/base/clock.h"

namespace sandpiper {
namespace {

// The error of a call follows the change of the socket's state within microseconds. The rest is
// slack for a loaded host.
constexpr uint64_t kSecondResultWait = 50 * kMillisecond;
// No event reports that a guest behind a device gave up. Linux retries a SYN for 127 s
// (tcp_syn_retries in tcp(7)), and conntrack keeps a UDP stream for 120 s
// (nf_conntrack_udp_timeout_stream).
constexpr uint64_t kGuestConnectTimeout = 130 * kSecond;
constexpr uint64_t kGuestUdpIdle = 120 * kSecond;

// UDP has no handshake: an answer is the only sign of success.
ConnectOutcome OutcomeOfUdp(const Flow& flow) {
  return flow.received > 0 ? ConnectOutcome::kEstablished : ConnectOutcome::kOther;
}

}  // namespace

FlowTable::Key FlowTable::KeyOf(const Flow& flow) {
  return {flow.cookie, flow.transport == Transport::kTcp ? Endpoint{} : flow.peer};
}

void FlowTable::Decide(Entry* entry, ConnectOutcome outcome, int error, uint64_t time_ns) {
  const bool failed = outcome != ConnectOutcome::kEstablished;
  if (outcome == ConnectOutcome::kDenied && entry->flow.denied_by == DenialLayer::kNone) {
    // An event reports a denial by netfilter before the call returns. This one has none.
    entry->flow.denied_by = DenialLayer::kCgroup;
    entry->flow.denials = 1;  // the caller reports it
  }
  entry->flow.outcome =
      failed && entry->flow.denied_by != DenialLayer::kNone ? ConnectOutcome::kDenied : outcome;
  entry->flow.error = error;
  entry->flow.decided_ns = time_ns;
}

void FlowTable::DecideProvisional(Entry* entry, uint64_t time_ns) {
  const int error = entry->provisional_error;
  Decide(entry, error == 0 ? ConnectOutcome::kCancelled : OutcomeOfErrno(error), error, time_ns);
}

FlowTable::Table::iterator FlowTable::End(Table::iterator it, Verdict verdict,
                                          FlowChanges* changes) {
  changes->push_back(
      {.flow = std::move(it->second.flow), .decided = verdict == Verdict::kNew, .ended = true});
  return flows_.erase(it);
}

std::optional<FlowChanges> FlowTable::OnConnect(Flow flow) {
  FlowChanges changes;
  // The socket is used again: nothing more will be known of its earlier attempt.
  if (const auto before = flows_.find(KeyOf(flow)); before != flows_.end()) {
    Entry& entry = before->second;
    const bool is_pending = entry.flow.outcome == ConnectOutcome::kPending;
    if (is_pending && entry.is_provisional)
      DecideProvisional(&entry, flow.started_ns);
    else if (is_pending)
      Decide(&entry, ConnectOutcome::kOther, 0, flow.started_ns);
    End(before, is_pending ? Verdict::kNew : Verdict::kReported, &changes);
  }
  if (flows_.size() >= capacity_)
    return std::nullopt;
  if (flow.is_guest) {
    const uint64_t check_ns = flow.started_ns + std::min(kGuestConnectTimeout, kGuestUdpIdle);
    next_guest_check_ns_ = std::min(next_guest_check_ns_, check_ns);
  }
  const Key key = KeyOf(flow);
  flows_.emplace(key, Entry{.flow = std::move(flow)});
  return changes;
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

FlowChanges FlowTable::OnResult(const ConnectResult& result, uint64_t time_ns) {
  FlowChanges changes;
  const auto it = Find(result.cookie, result.transport, result.peer);
  if (it == flows_.end() || it->second.flow.outcome != ConnectOutcome::kPending)
    return changes;
  Entry& entry = it->second;
  if (result.established) {
    Decide(&entry, ConnectOutcome::kEstablished, 0, time_ns);
    changes.push_back({.flow = entry.flow, .decided = true, .ended = false});
    return changes;
  }
  if (result.error == 0 || (entry.flow.is_guest && entry.flow.denied_by == DenialLayer::kNone)) {
    if (!entry.is_provisional)
      provisional_.emplace(time_ns, it->first);
    entry.is_provisional = true;
    entry.provisional_error = result.error;
    return changes;
  }
  // Each send of a denied flow fails. The flow continues, since a later datagram may pass.
  if (result.transport == Transport::kUdp && entry.flow.denied_by != DenialLayer::kNone)
    return changes;
  const ConnectOutcome outcome = OutcomeOfErrno(result.error);
  // An error such as EAGAIN or EMSGSIZE concerns one datagram and not the peer.
  if (result.transport == Transport::kUdp && outcome == ConnectOutcome::kOther)
    return changes;
  Decide(&entry, outcome, result.error, time_ns);
  if (entry.flow.transport == Transport::kUdp)
    RefreshUdp(&entry.flow);
  End(it, Verdict::kNew, &changes);
  return changes;
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

void FlowTable::DrainDenials(const std::function<void(const Flow&, uint64_t count)>& visit) {
  for (auto& [key, entry] : flows_) {
    Flow& flow = entry.flow;
    if (flow.denials > flow.denials_reported)
      visit(flow, flow.denials - flow.denials_reported);
    flow.denials_reported = flow.denials;
  }
}

void FlowTable::RefreshUdp(Flow* flow) {
  const UdpCounts counts = read_udp_(*flow);
  flow->sent = counts.sent;
  flow->received = counts.received;
  flow->denials = std::max(flow->denials, counts.denied);
}

FlowChanges FlowTable::OnClose(const Close& close, uint64_t time_ns) {
  FlowChanges changes;
  for (auto it = flows_.lower_bound({close.cookie, Endpoint{}});
       it != flows_.end() && it->first.first == close.cookie;) {
    Entry& entry = it->second;
    Flow& flow = entry.flow;
    const bool is_udp = flow.transport == Transport::kUdp;
    if (is_udp) {
      RefreshUdp(&flow);
    } else if (close.sent | close.received) {
      flow.sent = close.sent;
      flow.received = close.received;
    }
    if (entry.is_provisional) {
      ++it;  // ExpireDue decides it and ends it
      continue;
    }
    const bool is_pending = flow.outcome == ConnectOutcome::kPending;
    if (is_pending)
      Decide(&entry, is_udp ? OutcomeOfUdp(flow) : ConnectOutcome::kOther, 0, time_ns);
    flow.reset = flow.outcome == ConnectOutcome::kEstablished && close.error == ECONNRESET;
    it = End(it, is_pending ? Verdict::kNew : Verdict::kReported, &changes);
  }
  return changes;
}

void FlowTable::EndProvisional(uint64_t now_ns, FlowChanges* changes) {
  while (!provisional_.empty() && provisional_.begin()->first + kSecondResultWait <= now_ns) {
    const auto [time_ns, key] = *provisional_.begin();
    provisional_.erase(provisional_.begin());
    const auto it = flows_.find(key);
    if (it == flows_.end() || !it->second.is_provisional ||
        it->second.flow.outcome != ConnectOutcome::kPending)
      continue;
    if (it->second.flow.transport == Transport::kUdp)
      RefreshUdp(&it->second.flow);
    DecideProvisional(&it->second, time_ns);
    End(it, Verdict::kNew, changes);
  }
}

FlowChanges FlowTable::ExpireDue(uint64_t now_ns) {
  FlowChanges changes;
  EndProvisional(now_ns, &changes);
  EndIdleGuests(now_ns, &changes);
  return changes;
}

FlowChanges FlowTable::Shutdown(uint64_t now_ns) {
  FlowChanges changes;
  EndProvisional(std::numeric_limits<uint64_t>::max(), &changes);
  RefreshUdp();
  for (auto it = flows_.begin(); it != flows_.end();) {
    const Flow& flow = it->second.flow;
    const bool is_pending = flow.outcome == ConnectOutcome::kPending;
    if (is_pending) {
      const bool is_udp = flow.transport == Transport::kUdp;
      Decide(&it->second, is_udp ? OutcomeOfUdp(flow) : ConnectOutcome::kUnknown, 0, now_ns);
    }
    it = End(it, is_pending ? Verdict::kNew : Verdict::kReported, &changes);
  }
  return changes;
}

FlowChanges FlowTable::EndClosedSockets(const absl::flat_hash_set<uint64_t>& open_cookies,
                                        uint64_t now_ns) {
  FlowChanges changes;
  for (auto it = flows_.begin(); it != flows_.end();) {
    Flow& flow = it->second.flow;
    const bool is_missing = !flow.is_guest && !open_cookies.contains(flow.cookie);
    if (!is_missing || !it->second.was_missing) {
      it->second.was_missing = is_missing;
      ++it;
      continue;
    }
    const bool is_pending = flow.outcome == ConnectOutcome::kPending;
    if (is_pending)
      Decide(&it->second, ConnectOutcome::kUnknown, 0, now_ns);
    it = End(it, is_pending ? Verdict::kNew : Verdict::kReported, &changes);
  }
  return changes;
}

void FlowTable::EndIdleGuests(uint64_t now_ns, FlowChanges* changes) {
  if (now_ns < next_guest_check_ns_)
    return;
  next_guest_check_ns_ = std::numeric_limits<uint64_t>::max();
  for (auto it = flows_.begin(); it != flows_.end();) {
    Entry& entry = it->second;
    Flow& flow = entry.flow;
    const bool is_tcp = flow.transport == Transport::kTcp;
    const bool is_pending = flow.outcome == ConnectOutcome::kPending;
    if (!flow.is_guest || (is_tcp && !is_pending)) {
      ++it;
      continue;
    }
    uint64_t due_ns = flow.started_ns + kGuestConnectTimeout;
    if (!is_tcp) {
      RefreshUdp(&flow);
      const uint64_t bytes = flow.sent + flow.received;
      if (entry.grew_at_ns == 0 || bytes != entry.grew_to_bytes) {
        entry.grew_at_ns = now_ns;
        entry.grew_to_bytes = bytes;
      }
      due_ns = entry.grew_at_ns + kGuestUdpIdle;
    }
    if (now_ns < due_ns) {
      next_guest_check_ns_ = std::min(next_guest_check_ns_, due_ns);
      ++it;
      continue;
    }
    if (is_pending)
      Decide(&entry, is_tcp ? ConnectOutcome::kTimeout : OutcomeOfUdp(flow), 0, now_ns);
    it = End(it, is_pending ? Verdict::kNew : Verdict::kReported, changes);
  }
}

void FlowTable::RefreshTcp(const TcpReader& read_tcp) {
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
  if (provisional_.empty())
    return next_guest_check_ns_;
  return std::min(next_guest_check_ns_, provisional_.begin()->first + kSecondResultWait);
}

void FlowTable::ForEach(const std::function<void(const Flow&)>& visit) const {
  for (const auto& [key, entry] : flows_)
    visit(entry.flow);
}

}  // namespace sandpiper
