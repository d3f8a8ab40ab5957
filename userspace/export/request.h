// SPDX-License-Identifier: Apache-2.0
// What is sent to an OTLP endpoint in one piece: serialized once, sent again with the same bytes,
// and kept on disk as it is.
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

// Two of about the same number of items, in order. Nothing for one item, or for bytes that are no
// request.
std::optional<std::pair<Request, Request>> Halve(const Request& request, Signal signal);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_REQUEST_H_
