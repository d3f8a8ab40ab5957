// SPDX-License-Identifier: Apache-2.0
#include "userspace/aggregate/denials.h"

namespace sandpiper {

Denial DenialOf(const Flow& flow, uint64_t time_ns) {
  return {
      .origin = flow.origin,
      .destination = KeyOf(flow),
      .layer = flow.denied_by,
      .peer = flow.peer.address,
      .server = std::nullopt,
      .name_source = flow.is_destination_named() ? std::optional(flow.name_source) : std::nullopt,
      .question_type = std::nullopt,
      .process = flow.process,
      .comm = flow.comm,
      .time_ns = time_ns};
}

Denial DenialOf(const Lookup& lookup, DenialLayer layer) {
  DestinationKey key = {.host = lookup.name,
                        .address = {},
                        .port = lookup.server.port,
                        .transport = lookup.transport};
  if (lookup.name.empty())
    key.address = lookup.server.address;
  return {.origin = lookup.origin,
          .destination = std::move(key),
          .layer = layer,
          .peer = layer == DenialLayer::kDns ? std::nullopt : std::optional(lookup.server.address),
          .server = lookup.server,
          .name_source = std::nullopt,
          .question_type = lookup.name.empty() ? std::nullopt : std::optional(lookup.type),
          .process = lookup.process,
          .comm = "",
          .time_ns = lookup.ended_ns};
}

bool Denials::Add(const Denial& denial, uint64_t count) {
  const std::pair<DestinationKey, DenialLayer> key = {denial.destination, denial.layer};
  if (const auto known = counts_.find(key); known != counts_.end()) {
    known->second = {known->second.count + count, denial.peer, denial.server, denial.name_source};
    return false;
  }
  if (counts_.size() >= capacity_) {
    overflow_[{denial.destination.transport, denial.layer}] += count;
    return false;
  }
  counts_.emplace(key, Entry{count - 1, denial.peer, denial.server, denial.name_source});
  return true;
}

std::vector<Denials::WindowEntry> Denials::CloseWindow() {
  std::vector<WindowEntry> out;
  for (const auto& [key, entry] : counts_) {
    if (entry.count > 0)
      out.push_back({.destination = key.first,
                     .layer = key.second,
                     .transport = key.first.transport,
                     .count = entry.count,
                     .peer = entry.peer,
                     .server = entry.server,
                     .name_source = entry.name_source});
  }
  for (const auto& [key, count] : overflow_)
    out.push_back({.destination = std::nullopt,
                   .layer = key.second,
                   .transport = key.first,
                   .count = count,
                   .peer = std::nullopt,
                   .server = std::nullopt,
                   .name_source = std::nullopt});
  counts_.clear();
  overflow_.clear();
  return out;
}

}  // namespace sandpiper
