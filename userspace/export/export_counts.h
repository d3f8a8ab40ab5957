// SPDX-License-Identifier: Apache-2.0
// Counters of an exporter.
#ifndef SANDPIPER_USERSPACE_EXPORT_EXPORT_COUNTS_H_
#define SANDPIPER_USERSPACE_EXPORT_EXPORT_COUNTS_H_

#include <cstdint>
#include <string>

#include "userspace/export/delivery.h"

namespace sandpiper {

// Counts log records or data points.
struct ExportCounts {
  uint64_t sent = 0;
  uint64_t dropped_queue_full = 0;
  uint64_t dropped_refused = 0;        // the endpoint rejected the request
  uint64_t dropped_rejected = 0;       // the endpoint rejected a part of the request
  uint64_t dropped_at_exit = 0;        // not sent within the time for the flush
  uint64_t dropped_spool_full = 0;     // removed from disk to make room
  uint64_t dropped_spool_old = 0;      // on disk for too long
  uint64_t dropped_spool_corrupt = 0;  // unreadable on disk; counts requests
  std::string last_error;

  uint64_t dropped() const {
    return dropped_queue_full + dropped_refused + dropped_rejected + dropped_at_exit +
           dropped_spool_full + dropped_spool_old + dropped_spool_corrupt;
  }
  void Add(const Delivered& delivered) {
    sent += delivered.sent;
    dropped_rejected += delivered.rejected;
    dropped_refused += delivered.refused;
    if (!delivered.error.empty())
      last_error = delivered.error;
  }
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_EXPORT_COUNTS_H_
