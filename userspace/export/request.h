// SPDX-License-Identifier: Apache-2.0
// A serialized request to an OTLP endpoint. Repeated attempts send the same bytes, and the spool
// stores the same bytes.
#ifndef SANDPIPER_USERSPACE_EXPORT_REQUEST_H_
#define SANDPIPER_USERSPACE_EXPORT_REQUEST_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace sandpiper {

enum class Signal { kLogs, kMetrics };

struct Request {
  std::string bytes;   // an Export…ServiceRequest
  uint64_t items = 0;  // log records, or data points
};

// Divides a request into two with about the same number of items, in order. Nothing if it has only
// one item or cannot be parsed.
std::optional<std::pair<Request, Request>> Halve(const Request& request, Signal signal);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_REQUEST_H_
