// SPDX-License-Identifier: Apache-2.0
// Which records somebody wants to see.
#ifndef SANDPIPER_USERSPACE_EXPORT_RECORD_FILTER_H_
#define SANDPIPER_USERSPACE_EXPORT_RECORD_FILTER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "userspace/aggregate/log_record.h"

namespace sandpiper {

// Of each list that is not empty, one must match. Patterns are those of glob(7), without regard to
// case for hosts; "/" and "." are ordinary.
struct RecordFilter {
  std::vector<std::string> sandboxes;  // patterns for sandbox_id
  std::vector<std::string> events;     // patterns for opensandbox.event
  std::vector<std::string> hosts;      // patterns for target.host, peer, or one of target.ips
  bool denied = false;  // only what was refused: egress.denied, and destinations with refusals
  uint64_t since_unix_ns = 0;

  bool Matches(const LogRecord& record) const;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_RECORD_FILTER_H_
