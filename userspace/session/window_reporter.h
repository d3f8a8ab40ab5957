// SPDX-License-Identifier: Apache-2.0
#ifndef SANDPIPER_USERSPACE_SESSION_WINDOW_REPORTER_H_
#define SANDPIPER_USERSPACE_SESSION_WINDOW_REPORTER_H_

#include <cstddef>
#include <cstdint>

#include "userspace/aggregate/denials.h"
#include "userspace/aggregate/ledger.h"
#include "userspace/session/event_accounting.h"
#include "userspace/session/session_context.h"

namespace sandpiper {

// Emits the records that summarise a window: denials, destinations and lost events, each as the
// change since the window before. The first denial of a destination in a window is emitted at once.
class WindowReporter {
 public:
  // `destinations_max` bounds the destinations that are counted separately.
  WindowReporter(size_t destinations_max, SessionContext* context);

  void OnDenial(const Denial& denial, uint64_t count);
  // The ledger must already have the current byte counts of all open flows.
  void CloseWindow(uint64_t now_ns, const EventAccounting& events);

  Ledger& ledger() { return ledger_; }
  const Ledger& ledger() const { return ledger_; }

 private:
  void EmitDenials(uint64_t now_ns);
  void EmitDestinations(uint64_t now_ns);
  void EmitLosses(uint64_t now_ns, const EventAccounting& events);

  SessionContext* const context_;
  Ledger ledger_;
  Denials denials_;
  EventAccounting::Losses reported_losses_;  // since the start
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_SESSION_WINDOW_REPORTER_H_
