// SPDX-License-Identifier: Apache-2.0
// Selects log records, for `sandpiper observe`.
#ifndef SANDPIPER_USERSPACE_EXPORT_RECORD_FILTER_H_
#define SANDPIPER_USERSPACE_EXPORT_RECORD_FILTER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "userspace/aggregate/log_record.h"

namespace sandpiper {

// A record matches if each list that is not empty has a matching pattern. Patterns are those of
// glob(7), where "/" and "." are ordinary characters. Hosts ignore case.
struct RecordFilter {
  std::vector<std::string> sandboxes;  // patterns for sandbox_id
  std::vector<std::string> events;     // patterns for opensandbox.event
  std::vector<std::string> hosts;      // patterns for target.host, peer, or one of target.ips
  bool denied = false;                 // only egress.denied, and egress.destination with denials
  uint64_t since_unix_ns = 0;

  bool Matches(const LogRecord& record) const;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_RECORD_FILTER_H_
