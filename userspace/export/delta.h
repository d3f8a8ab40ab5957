// SPDX-License-Identifier: Apache-2.0
// Converts cumulative values into the increase since the last finished export (OpenTelemetry
// specification, metrics/data-model.md, Temporality).
#ifndef SANDPIPER_USERSPACE_EXPORT_DELTA_H_
#define SANDPIPER_USERSPACE_EXPORT_DELTA_H_

#include <map>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "userspace/aggregate/metrics.h"

namespace sandpiper {

class DeltaState {
 public:
  // Counters and histograms become differences to the last committed snapshot; zero differences are
  // left out. Other points stay as they are. Stale markers mean nothing here and are left out.
  MetricSnapshot Since(const MetricSnapshot& now) const;
  // The snapshot was sent or dropped. The next difference is to it.
  void Commit(const MetricSnapshot& now);

 private:
  static std::string Key(const MetricPoint& point);

  std::map<const MetricRow*, absl::flat_hash_map<std::string, MetricPoint>> last_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_DELTA_H_
