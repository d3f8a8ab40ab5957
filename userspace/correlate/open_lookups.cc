// SPDX-License-Identifier: Apache-2.0
#include "userspace/correlate/open_lookups.h"

#include <algorithm>
#include <limits>

#include "absl/hash/hash.h"

namespace sandpiper {

AskedQuestion AskedQuestion::Of(uint8_t opcode, const DnsQuestion& question) {
  return {.opcode = opcode,
          .question = question,
          .hash = absl::HashOf(question.name, question.type, question.dns_class, opcode)};
}

OpenLookups::Iterator OpenLookups::Add(const AskedQuestion& asked, const ProcessKey& process,
                                       uint32_t thread, uint64_t time_ns) {
  if (open_.size() >= limits_.lookups_max)
    evict_(open_.begin());
  const Iterator open = open_.emplace(open_.end());
  open->serial = next_serial_++;
  open->question = asked.hash;
  open->thread = thread;
  open->lookup.opcode = asked.opcode;
  open->lookup.name = asked.question.name;
  open->lookup.type = asked.question.type;
  open->lookup.dns_class = asked.question.dns_class;
  open->lookup.process = process;
  open->lookup.asked_ns = time_ns;
  if (thread != 0)
    by_thread_[KeyOf(*open, thread)] = open;
  return open;
}

Lookup OpenLookups::Remove(Iterator open) {
  by_deadline_.erase({open->deadline_ns, open->serial});
  if (open->thread != 0)
    Erase(KeyOf(*open, open->thread), open, &by_thread_);
  for (const uint16_t id : open->ids)
    Erase(KeyOf(*open, id), open, &by_id_);
  if (open->is_indexed_by_question) {
    const auto found = by_question_.find(open->question);
    found->second.erase(std::find(found->second.begin(), found->second.end(), open));
    if (found->second.empty())
      by_question_.erase(found);
  }
  for (const ExchangeKey& key : open->exchanges)
    RemoveExchange(key, open);
  Lookup lookup = std::move(open->lookup);
  open_.erase(open);
  return lookup;
}

void OpenLookups::AddId(Iterator open, uint16_t id) {
  const auto [entry, added] = by_id_.try_emplace(KeyOf(*open, id), open);
  if (!added && entry->second == open)
    return;
  entry->second = open;
  if (open->ids.size() >= kExchangesPerLookupMax) {
    Erase(KeyOf(*open, open->ids.front()), open, &by_id_);
    open->ids.erase(open->ids.begin());
  }
  open->ids.push_back(id);
}

void OpenLookups::AddExchange(const ExchangeKey& key, const Exchange& exchange) {
  const Iterator open = exchange.open;
  const auto with_same_id = exchanges_.find(key);
  if (with_same_id != exchanges_.end() && with_same_id->second.size() >= kQuestionsPerIdMax)
    evict_(with_same_id->second.front().open);
  if (open->exchanges.size() >= kExchangesPerLookupMax)
    RemoveOldestExchange(open);
  if (exchange_count_ >= limits_.exchanges_max) {
    if (!open->exchanges.empty())
      RemoveOldestExchange(open);
    else
      evict_(open_.begin());
  }
  exchanges_[key].push_back(exchange);
  open->exchanges.push_back(key);
  ++exchange_count_;
}

void OpenLookups::RemoveOldestExchange(Iterator open) {
  RemoveExchange(open->exchanges.front(), open);
  open->exchanges.erase(open->exchanges.begin());
}

void OpenLookups::RemoveExchange(const ExchangeKey& key, Iterator open) {
  const auto found = exchanges_.find(key);
  found->second.erase(std::find_if(found->second.begin(), found->second.end(),
                                   [&](const Exchange& e) { return e.open == open; }));
  if (found->second.empty())
    exchanges_.erase(found);
  --exchange_count_;
}

void OpenLookups::IndexByQuestion(Iterator open) {
  if (open->is_indexed_by_question)
    return;
  auto& same = by_question_[open->question];
  if (same.size() >= kLookupsPerQuestionMax)
    return;
  same.push_back(open);
  open->is_indexed_by_question = true;
}

OpenLookups::Exchange* OpenLookups::FindExchange(const ExchangeKey& key,
                                                 const AskedQuestion& asked) {
  const auto found = exchanges_.find(key);
  if (found == exchanges_.end())
    return nullptr;
  const auto exchange =
      std::find_if(found->second.begin(), found->second.end(), [&](const Exchange& exchange) {
        return exchange.question == asked.hash && exchange.open->Asks(asked);
      });
  return exchange == found->second.end() ? nullptr : &*exchange;
}

OpenLookups::Exchange* OpenLookups::FindOnlyExchange(const ExchangeKey& key) {
  const auto found = exchanges_.find(key);
  return found != exchanges_.end() && found->second.size() == 1 ? found->second.data() : nullptr;
}

void OpenLookups::ForEachExchange(const ExchangeKey& key,
                                  const std::function<void(Exchange*)>& visit) {
  const auto found = exchanges_.find(key);
  if (found == exchanges_.end())
    return;
  for (Exchange& exchange : found->second)
    visit(&exchange);
}

OpenLookups::Iterator OpenLookups::FindSame(const AskedQuestion& asked, const ProcessKey& process,
                                            uint32_t thread, uint16_t id) {
  const Iterator by_id = Find(by_id_, {asked.hash, process, id}, asked);
  if (by_id != end_)
    return by_id;
  // Unknown threads are not in the index.
  return Find(by_thread_, {asked.hash, process, thread}, asked);
}

OpenLookups::Iterator OpenLookups::Find(const AskerIndex& index, const AskerKey& key,
                                        const AskedQuestion& asked) const {
  const auto found = index.find(key);
  return found != index.end() && found->second->Asks(asked) ? found->second : end_;
}

void OpenLookups::Erase(const AskerKey& key, Iterator open, AskerIndex* index) {
  // Another question with the same hash may have replaced the entry.
  const auto found = index->find(key);
  if (found != index->end() && found->second == open)
    index->erase(found);
}

OpenLookups::Iterator OpenLookups::FindByQuestion(
    const AskedQuestion& asked, const std::function<bool(const OpenLookup&)>& matches) {
  const auto found = by_question_.find(asked.hash);
  if (found == by_question_.end())
    return end_;
  const auto open =
      std::find_if(found->second.begin(), found->second.end(),
                   [&](const Iterator& open) { return open->Asks(asked) && matches(*open); });
  return open == found->second.end() ? end_ : *open;
}

void OpenLookups::SetDeadline(Iterator open, uint64_t deadline_ns) {
  by_deadline_.erase({open->deadline_ns, open->serial});
  open->deadline_ns = std::min(deadline_ns, open->lookup.asked_ns + limits_.lifetime_ns);
  by_deadline_.emplace(std::pair(open->deadline_ns, open->serial), open);
}

uint64_t OpenLookups::NextDeadline() const {
  return by_deadline_.empty() ? std::numeric_limits<uint64_t>::max()
                              : by_deadline_.begin()->first.first;
}

}  // namespace sandpiper
