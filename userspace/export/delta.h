// SPDX-License-Identifier: Apache-2.0
// Cumulative values -> what was added since the last export that arrived (OpenTelemetry
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
  // Counters and histograms as differences, those without one left out; the rest as it is. Stale
  // markers say nothing here and are left out.
  MetricSnapshot Since(const MetricSnapshot& now) const;
  // That one arrived, or never will: the next difference is to it.
  void Commit(const MetricSnapshot& now);

 private:
  static std::string Key(const MetricPoint& point);

  std::map<const MetricRow*, absl::flat_hash_map<std::string, MetricPoint>> last_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_DELTA_H_
