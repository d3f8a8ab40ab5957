// SPDX-License-Identifier: Apache-2.0
// Memory and CPU of the host (OSEP-0010) and of sandpiper's own process, read from /proc.
#ifndef SANDPIPER_USERSPACE_AGGREGATE_HOST_METRICS_H_
#define SANDPIPER_USERSPACE_AGGREGATE_HOST_METRICS_H_

#include <cstdint>
#include <string>

#include "userspace/aggregate/metrics.h"

namespace sandpiper {

class HostMetrics {
 public:
  explicit HostMetrics(std::string proc = "/proc") : proc_(std::move(proc)) {}

  // Appends the memory in use (MemTotal - MemAvailable), and the busy share of all CPUs since the
  // last call. The first call reports a share of 0.
  void Append(uint64_t start_unix_ns, MetricSnapshot* out);
  // Appends process.*.
  void AppendOwn(uint64_t start_unix_ns, MetricSnapshot* out) const;

 private:
  std::string proc_;
  uint64_t busy_ = 0, total_ = 0;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_AGGREGATE_HOST_METRICS_H_
