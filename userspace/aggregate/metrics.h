// SPDX-License-Identifier: Apache-2.0
// Metric points, as they are handed to the exporters.
#ifndef SANDPIPER_USERSPACE_AGGREGATE_METRICS_H_
#define SANDPIPER_USERSPACE_AGGREGATE_METRICS_H_

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "userspace/aggregate/histogram.h"
#include "userspace/aggregate/log_record.h"
#include "userspace/aggregate/metric_catalog.h"

namespace sandpiper {

struct MetricPoint {
  std::vector<Attribute> attributes;  // values are text or bool
  std::variant<int64_t, double, Histogram> value;
  uint64_t start_unix_ns = 0;
  uint64_t time_unix_ns = 0;  // 0: the snapshot's time
  bool stale = false;  // the series has ended: no value (OTLP DataPointFlags NO_RECORDED_VALUE)
};

struct MetricFamily {
  const MetricRow* row;
  std::vector<MetricPoint> points;
};

struct MetricSnapshot {
  uint64_t time_unix_ns = 0;
  uint64_t sequence = 0;               // increases with each snapshot of one reader
  std::vector<MetricFamily> families;  // one for each row; none is empty

  void Add(const MetricRow& row, MetricPoint point);
  size_t points() const;
};

// Identifies a series. Equal for the same attributes in any order.
std::string SeriesKey(const std::vector<Attribute>& attributes);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_AGGREGATE_METRICS_H_
