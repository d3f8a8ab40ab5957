#include "userspace/aggregate/ledger.h"

#include <algorithm>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"

namespace sandpiper {
DestinationKey KeyOf(const Flow& flow) {
  DestinationKey key = {.host = flow.name, .address = {}, .port = flow.peer.port, .transport = flow.transport};
  if (key.host.empty())
    key.address = flow.peer.address;
  return key;
}

std::string DestinationKey::ToString() const {
  const std::string where = host.empty() ? Endpoint{address, port}.ToString() : absl::StrCat(host, ":", port);
  return absl::StrCat(where, "/", sandpiper::Name(transport));
}

DestinationStats DestinationStats::Since(const DestinationStats& earlier) const {
  return {.attempts = attempts - earlier.attempts,
          .established = established - earlier.established,
          .denied = denied - earlier.denied,
          .failed = failed - earlier.failed,
          .sent = sent - earlier.sent,
          .received = received - earlier.received};
}

Destination& Ledger::Find(const Flow& flow) {
  const DestinationKey key = KeyOf(flow);
  auto it = destinations_.find(key);
  if (it == destinations_.end()) {
    if (destinations_.size() >= capacity_)
      return flow.peer.address.is_loopback() ? loopback_beyond_ : beyond_;
    it = destinations_.emplace(key, Destination{}).first;
    it->second.first_ns = flow.started_ns;
    it->second.loopback = flow.peer.address.is_loopback();
  }
  if (it->second.addresses.size() < kAddressesMax)
    it->second.addresses.insert(flow.peer.address);
  return it->second;
}

void Ledger::OnAttempt(const Flow& flow) {
  Destination& destination = Find(flow);
  ++destination.total.attempts;
  if (&destination == &loopback_beyond_ || &destination == &beyond_)
    ++overflowed_;
  if (&destination != &beyond_)
    return;
  if (estimate_.empty()) {
    for (const auto& [key, known] : destinations_) {
      if (!known.loopback)
        estimate_.Add(absl::HashOf(key.ToString()));
    }
  }
  estimate_.Add(absl::HashOf(KeyOf(flow).ToString()));
}

void Ledger::OnDecided(const Flow& flow) {
  Destination* const destination = &Find(flow);
  ++destination->outcomes[flow.outcome];
  if (flow.outcome == ConnectOutcome::kEstablished) {
    ++destination->total.established;
    const uint64_t latency = flow.decided_ns - flow.started_ns;
    destination->latency_sum_ns += latency;
    destination->latency_max_ns = std::max(destination->latency_max_ns, latency);
  } else if (flow.outcome == ConnectOutcome::kDenied) {
    ++destination->total.denied;
  } else if (flow.outcome != ConnectOutcome::kUnknown && (flow.transport == Transport::kTcp || flow.outcome != ConnectOutcome::kOther)) {
    ++destination->total.failed;  // a datagram that nobody answered is no failure
  }
}

void Ledger::Count(const Flow& flow, Bytes* counted) {
  if (flow.sent <= counted->sent && flow.received <= counted->received)
    return;
  Destination* const destination = &Find(flow);
  const Bytes now = {.sent = std::max(flow.sent, counted->sent), .received = std::max(flow.received, counted->received)};
  destination->total.sent += now.sent - counted->sent;
  destination->total.received += now.received - counted->received;
  *counted = now;
}

void Ledger::OnBytes(const Flow& flow) { Count(flow, &counted_[{flow.cookie, flow.peer}]); }

// Most flows end before they were ever asked for their bytes.
void Ledger::OnEnded(const Flow& flow) {
  const auto known = counted_.find({flow.cookie, flow.peer});
  Bytes none, *const counted = known == counted_.end() ? &none : &known->second;
  Count(flow, counted);
  if (known != counted_.end())
    counted_.erase(known);
}

void Ledger::OnLookup(const Lookup& lookup) {
  std::pair<std::string, uint16_t> question = {lookup.name, lookup.type};
  auto it = questions_.lower_bound(question);
  if (it == questions_.end() || it->first != question) {
    if (questions_.size() >= capacity_) {
      ++overflowed_;
      return;
    }
    it = questions_.emplace_hint(it, std::move(question), QuestionStats{});
  }
  QuestionStats& stats = it->second;
  ++stats.lookups;
  ++stats.outcomes[lookup.outcome];
  stats.server = lookup.server;
  stats.latency_max_ns = std::max(stats.latency_max_ns, lookup.ended_ns - lookup.asked_ns);
  for (const DnsAddress& answer : lookup.addresses) {
    if (stats.addresses.size() < kAddressesMax)
      stats.addresses.insert(answer.address);
  }
}

size_t Ledger::distinct() const {
  const auto kept = static_cast<size_t>(
      std::count_if(destinations_.begin(), destinations_.end(), [](const auto& entry) { return !entry.second.loopback; }));
  return std::max(kept, estimate_.Count());
}

std::vector<Ledger::WindowEntry> Ledger::CloseWindow() {
  std::vector<WindowEntry> out;
  const auto close = [&](const std::optional<DestinationKey>& key, Destination* destination) {
    const DestinationStats news = destination->total.Since(destination->reported);
    if (destination->loopback || news.empty())
      return;
    out.push_back({.key = key, .stats = news, .first_contact = key && !destination->told});
    destination->reported = destination->total;
    destination->told = true;
  };
  for (auto& [key, destination] : destinations_)
    close(key, &destination);
  close(std::nullopt, &beyond_);
  return out;
}

}  // namespace sandpiper
