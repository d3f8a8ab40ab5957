// What is sent in one request, and how it is divided where it is too large, or where something in it is not taken.
#ifndef SANDPIPER_USERSPACE_EXPORT_BATCH_H_
#define SANDPIPER_USERSPACE_EXPORT_BATCH_H_

#include <string>
#include <utility>
#include <vector>

#include "userspace/export/otlp.h"

namespace sandpiper {

struct LogBatch {
  std::vector<LogRecord> records;

  size_t items() const { return records.size(); }
  std::string Encode(const std::vector<Attribute>& resource) const;
  // Two of about the same size, in order. At least two items.
  std::pair<LogBatch, LogBatch> Halve() &&;
};

struct MetricBatch {
  MetricSnapshot snapshot;
  Temporality temporality = Temporality::kCumulative;

  size_t items() const { return snapshot.points(); }
  std::string Encode(const std::vector<Attribute>& resource) const;
  std::pair<MetricBatch, MetricBatch> Halve() &&;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_BATCH_H_
