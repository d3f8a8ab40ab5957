// Metrics: the catalog, what is kept for each sandbox, and the snapshot that exporters take.
#ifndef SANDPIPER_USERSPACE_AGGREGATE_METRICS_H_
#define SANDPIPER_USERSPACE_AGGREGATE_METRICS_H_

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "userspace/aggregate/log_record.h"

namespace sandpiper {

enum class MetricKind { kCounter, kUpDownCounter, kGauge, kHistogram };

// One row a metric; `attributes` are all keys that its points may carry besides identity.
struct MetricRow {
  const char* name;
  MetricKind kind;
  const char* unit;
  const char* scope;
  std::vector<const char*> attributes;
  const char* meaning;
};

namespace metric {
extern const MetricRow kDnsQueryDuration, kPolicyDenied, kNftRules, kNftUpdates, kSystemMemory, kSystemCpu;
extern const MetricRow kDnsQueries, kDnsDuration, kConnectAttempts, kConnectDuration, kConnectActive, kEgressDenied, kDestinations,
    kNftTransactions, kAllowDuration, kConnectBeforeAllow, kExpiredInUse, kNetworkIo, kProcessExecs, kProcessExits, kProcessDuration,
    kSandboxCount;
extern const MetricRow kEventsProduced, kEventsDelivered, kEventsDropped, kProbeState;
}  // namespace metric

std::span<const MetricRow* const> MetricCatalog();

// Explicit buckets, the bound belonging to the lower one (OTLP HistogramDataPoint).
class Histogram {
 public:
  explicit Histogram(std::span<const double> bounds) : bounds_(bounds), buckets_(bounds.size() + 1) {}

  void Record(double value);

  std::span<const double> bounds() const { return bounds_; }
  const std::vector<uint64_t>& buckets() const { return buckets_; }
  uint64_t count() const { return count_; }
  double sum() const { return sum_; }

 private:
  std::span<const double> bounds_;
  std::vector<uint64_t> buckets_;
  uint64_t count_ = 0;
  double sum_ = 0;
};

// Seconds. Connects are quicker than lookups on a local network.
std::span<const double> DurationBounds();
std::span<const double> ConnectBounds();

struct MetricPoint {
  std::vector<Attribute> attributes;
  std::variant<int64_t, double, Histogram> value;
  uint64_t start_unix_ns = 0;
};

struct MetricFamily {
  const MetricRow* row;
  std::vector<MetricPoint> points;
};

struct MetricSnapshot {
  uint64_t time_unix_ns = 0;
  std::vector<MetricFamily> families;  // none is empty, no row comes twice

  void Add(const MetricRow& row, MetricPoint point);
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_AGGREGATE_METRICS_H_
