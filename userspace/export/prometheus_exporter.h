// SPDX-License-Identifier: Apache-2.0
// Serves /metrics over HTTP in the text format of Prometheus.
#ifndef SANDPIPER_USERSPACE_EXPORT_PROMETHEUS_EXPORTER_H_
#define SANDPIPER_USERSPACE_EXPORT_PROMETHEUS_EXPORTER_H_

#include <prometheus/metric_family.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "userspace/aggregate/metrics.h"

namespace sandpiper {

// `resource` becomes target_info. Stale points are left out. If a series has two points, the later
// one is kept.
std::vector<prometheus::MetricFamily> ToPrometheus(const MetricSnapshot& snapshot,
                                                   const std::vector<Attribute>& resource);

class PrometheusExporter {
 public:
  // Listens at `address`, such as "127.0.0.1:9464". Unavailable if that is impossible.
  static absl::StatusOr<std::unique_ptr<PrometheusExporter>> Start(
      const std::string& address, const std::vector<Attribute>& resource);
  ~PrometheusExporter();
  PrometheusExporter(const PrometheusExporter&) = delete;
  PrometheusExporter& operator=(const PrometheusExporter&) = delete;

  // Readable while a scrape waits for Answer().
  int event_fd() const;
  // Answers all waiting scrapes in the calling thread.
  void Answer(const std::function<MetricSnapshot()>& collect);

 private:
  struct Impl;
  explicit PrometheusExporter(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_PROMETHEUS_EXPORTER_H_
