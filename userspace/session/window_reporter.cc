// SPDX-License-Identifier: Apache-2.0
#include "userspace/session/window_reporter.h"

#include <utility>

namespace sandpiper {

WindowReporter::WindowReporter(size_t destinations_max, SessionContext* context)
    : context_(context), ledger_(destinations_max), denials_(destinations_max) {}

void WindowReporter::OnDenial(const Denial& denial, uint64_t count) {
  if (!denials_.Add(denial, count))
    return;
  context_->emitter.Emit([&](RecordMaker& records, int64_t unix_offset) {
    return records.Denied(denial, context_->processes.Find(denial.process), unix_offset);
  });
}

void WindowReporter::CloseWindow(uint64_t now_ns, const EventAccounting& events) {
  EmitDenials(now_ns);
  EmitDestinations(now_ns);
  EmitLosses(now_ns, events);
}

void WindowReporter::EmitDenials(uint64_t now_ns) {
  for (const Denials::WindowEntry& entry : denials_.CloseWindow()) {
    context_->emitter.Emit([&](RecordMaker& records, int64_t unix_offset) {
      return records.Denied(entry, now_ns, unix_offset);
    });
  }
}

void WindowReporter::EmitDestinations(uint64_t now_ns) {
  for (const Ledger::WindowEntry& entry : ledger_.CloseWindow()) {
    context_->emitter.EmitInfo([&](RecordMaker& records, int64_t unix_offset) {
      return records.Destination(entry, now_ns, unix_offset);
    });
  }
}

void WindowReporter::EmitLosses(uint64_t now_ns, const EventAccounting& events) {
  EventAccounting::Losses losses = events.LossesSoFar();
  EventAccounting::Losses added = losses;
  for (const auto& [reason, count] : reported_losses_)
    added[reason] -= count;
  std::erase_if(added, [](const auto& entry) { return entry.second == 0; });
  reported_losses_ = std::move(losses);
  if (added.empty())
    return;
  context_->emitter.Emit([&](RecordMaker& records, int64_t unix_offset) {
    return records.Loss({added.begin(), added.end()}, now_ns, unix_offset);
  });
}

}  // namespace sandpiper
