// SPDX-License-Identifier: Apache-2.0
#include "userspace/aggregate/ledger.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace sandpiper {
namespace {

void Insert(const Address& address, Addresses* addresses) {
  const auto at = std::lower_bound(addresses->begin(), addresses->end(), address);
  if (addresses->size() < Ledger::kAddressesMax && (at == addresses->end() || *at != address))
    addresses->insert(at, address);
}

}  // namespace

DestinationView ViewOf(const Flow& flow) {
  const bool named = flow.is_destination_named();
  return {.host = named ? std::string_view(flow.name) : std::string_view(),
          .address = named ? Address{} : flow.peer.address,
          .port = flow.peer.port,
          .transport = flow.transport};
}

DestinationKey KeyOf(const Flow& flow) {
  const DestinationView view = ViewOf(flow);
  return {.host = view.host.empty() ? SharedText() : flow.name,
          .address = view.address,
          .port = view.port,
          .transport = view.transport};
}

template <typename Text>
std::string BasicDestinationKey<Text>::ToString() const {
  std::string out;
  AppendTo(&out);
  return out;
}

template <typename Text>
void BasicDestinationKey<Text>::AppendTo(std::string* out) const {
  if (host.empty()) {
    Endpoint{address, port}.AppendTo(out);
  } else {
    out->append(std::string_view(host));
    absl::StrAppend(out, ":", port);
  }
  out->append("/").append(sandpiper::Name(transport));
}
template struct BasicDestinationKey<SharedText>;
template struct BasicDestinationKey<std::string_view>;

DestinationStats DestinationStats::Since(const DestinationStats& earlier) const {
  return {.attempts = attempts - earlier.attempts,
          .established = established - earlier.established,
          .denied = denied - earlier.denied,
          .failed = failed - earlier.failed,
          .sent = sent - earlier.sent,
          .received = received - earlier.received};
}

Destination& Ledger::Find(const Flow& flow) {
  auto it = destinations_.find(ViewOf(flow));
  if (it == destinations_.end()) {
    if (destinations_.size() >= capacity_) {
      std::unique_ptr<Destination>& beyond =
          flow.peer.address.is_loopback() ? loopback_overflow_ : overflow_;
      if (!beyond)
        beyond = std::make_unique<Destination>();
      return *beyond;
    }
    it = destinations_.emplace(KeyOf(flow), Destination{}).first;
    it->second.first_ns = flow.started_ns;
    it->second.loopback = flow.peer.address.is_loopback();
  }
  Insert(flow.peer.address, &it->second.addresses);
  Insert(flow.peer.address, &it->second.window_addresses);
  it->second.last_address = flow.peer.address;
  it->second.name_source = flow.name_source;
  return it->second;
}

void Ledger::OnAttempt(const Flow& flow) {
  if (observer_)
    observer_->OnAttempt(flow);
  Destination& destination = Find(flow);
  ++destination.total.attempts;
  if (&destination == loopback_overflow_.get() || &destination == overflow_.get())
    ++overflowed_;
  if (&destination != overflow_.get())
    return;
  if (estimate_.empty()) {
    for (const auto& [key, known] : destinations_) {
      if (!known.loopback)
        estimate_.Add(absl::HashOf(key));
    }
  }
  estimate_.Add(absl::HashOf(ViewOf(flow)));
}

void Ledger::OnDecided(const Flow& flow) {
  if (observer_)
    observer_->OnDecided(flow);
  Destination* const destination = &Find(flow);
  ++destination->outcomes[static_cast<size_t>(flow.outcome)];
  if (flow.outcome == ConnectOutcome::kEstablished) {
    ++destination->total.established;
    const uint64_t latency = flow.decided_ns - flow.started_ns;
    destination->latency_sum_ns += latency;
    destination->latency_max_ns = std::max(destination->latency_max_ns, latency);
  } else if (flow.outcome == ConnectOutcome::kDenied) {
    ++destination->total.denied;
  } else if (flow.outcome != ConnectOutcome::kUnknown &&
             (flow.transport == Transport::kTcp || flow.outcome != ConnectOutcome::kOther)) {
    ++destination->total.failed;  // an unanswered datagram is no failure
  }
}

void Ledger::Count(const Flow& flow, Bytes* counted) {
  if (flow.sent <= counted->sent && flow.received <= counted->received)
    return;
  Destination* const destination = &Find(flow);
  const Bytes now = {.sent = std::max(flow.sent, counted->sent),
                     .received = std::max(flow.received, counted->received)};
  destination->total.sent += now.sent - counted->sent;
  destination->total.received += now.received - counted->received;
  *counted = now;
}

void Ledger::OnBytes(const Flow& flow) { Count(flow, &counted_[{flow.cookie, flow.peer}]); }

// Most flows end before OnBytes() is called for them.
void Ledger::OnEnded(const Flow& flow) {
  const auto known = counted_.find({flow.cookie, flow.peer});
  Bytes none, *const counted = known == counted_.end() ? &none : &known->second;
  Count(flow, counted);
  if (known != counted_.end())
    counted_.erase(known);
}

void Ledger::OnLookup(const Lookup& lookup) {
  auto it = questions_.find(QuestionView{lookup.name, lookup.type});
  if (it == questions_.end()) {
    if (questions_.size() >= capacity_) {
      ++overflowed_;
      return;
    }
    it = questions_.emplace(Question{lookup.name, lookup.type}, QuestionStats{}).first;
  }
  QuestionStats& stats = it->second;
  ++stats.lookups;
  ++stats.outcomes[static_cast<size_t>(lookup.outcome)];
  stats.server = lookup.server;
  stats.latency_max_ns = std::max(stats.latency_max_ns, lookup.ended_ns - lookup.asked_ns);
  for (const DnsAddress& answer : lookup.addresses)
    Insert(answer.address, &stats.addresses);
}

size_t Ledger::distinct() const {
  const auto kept =
      static_cast<size_t>(std::count_if(destinations_.begin(), destinations_.end(),
                                        [](const auto& entry) { return !entry.second.loopback; }));
  return std::max(kept, estimate_.Count());
}

std::vector<Ledger::WindowEntry> Ledger::CloseWindow() {
  std::vector<WindowEntry> out;
  const auto close = [&](const std::optional<DestinationKey>& key, Destination* destination) {
    const DestinationStats news = destination->total.Since(destination->reported);
    if (destination->loopback || news.empty())
      return;
    out.push_back({.key = key,
                   .stats = news,
                   .first_contact = key && !destination->is_reported,
                   .last_address = destination->last_address,
                   .name_source = destination->name_source,
                   .addresses = destination->window_addresses});
    destination->window_addresses.clear();
    destination->reported = destination->total;
    destination->is_reported = true;
  };
  for (auto& [key, destination] : destinations_)
    close(key, &destination);
  std::sort(out.begin(), out.end(),
            [](const WindowEntry& a, const WindowEntry& b) { return a.key < b.key; });
  if (overflow_)
    close(std::nullopt, overflow_.get());
  return out;
}

}  // namespace sandpiper
