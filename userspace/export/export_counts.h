// SPDX-License-Identifier: Apache-2.0
// What became of what was handed to an exporter.
#ifndef SANDPIPER_USERSPACE_EXPORT_EXPORT_COUNTS_H_
#define SANDPIPER_USERSPACE_EXPORT_EXPORT_COUNTS_H_

#include <cstdint>
#include <functional>
#include <string>

#include "userspace/export/delivery.h"

namespace sandpiper {

// Log records, or data points.
struct ExportCounts {
  uint64_t sent = 0;
  uint64_t dropped_queue_full = 0;
  uint64_t dropped_refused = 0;        // the endpoint said no for good
  uint64_t dropped_rejected = 0;       // a partial success
  uint64_t dropped_at_exit = 0;        // not sent when the time to flush was over
  uint64_t dropped_spool_full = 0;     // on disk, and had to make room
  uint64_t dropped_spool_old = 0;      // on disk for too long
  uint64_t dropped_spool_corrupt = 0;  // on disk, and could not be read again
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

// Gets a line for people when an endpoint or a disk begins to fail, and when it works again. Called
// by threads of exporters.
using TellProblem = std::function<void(const std::string&)>;

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_EXPORT_COUNTS_H_
