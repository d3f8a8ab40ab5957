// SPDX-License-Identifier: Apache-2.0
// What /proc tells of the host, as OSEP-0010 asks, and of sandpiper's own process.
#ifndef SANDPIPER_USERSPACE_AGGREGATE_HOST_METRICS_H_
#define SANDPIPER_USERSPACE_AGGREGATE_HOST_METRICS_H_

#include <cstdint>
#include <string>

#include "userspace/aggregate/metrics.h"

namespace sandpiper {

class HostMetrics {
 public:
  explicit HostMetrics(std::string proc = "/proc") : proc_(std::move(proc)) {}

  // RAM in use (MemTotal - MemAvailable), and the busy share of all CPUs since the last call; the
  // first call says 0.
  void Append(uint64_t start_unix_ns, MetricSnapshot* out);
  // process.*
  void AppendOwn(uint64_t start_unix_ns, MetricSnapshot* out) const;

 private:
  std::string proc_;
  uint64_t busy_ = 0, total_ = 0;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_AGGREGATE_HOST_METRICS_H_
