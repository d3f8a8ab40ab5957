// SPDX-License-Identifier: Apache-2.0
// Converts metric snapshots into OTLP requests
// (opentelemetry/proto/collector/metrics/v1/metrics_service.proto).
#ifndef SANDPIPER_USERSPACE_EXPORT_OTLP_METRICS_H_
#define SANDPIPER_USERSPACE_EXPORT_OTLP_METRICS_H_

#include <vector>

#include "opentelemetry/proto/collector/metrics/v1/metrics_service.pb.h"
#include "userspace/aggregate/metrics.h"
#include "userspace/export/otel_config.h"

namespace sandpiper {

using OtlpMetrics = opentelemetry::proto::collector::metrics::v1::ExportMetricsServiceRequest;

// `temporality` is that of the counters and histograms in the snapshot.
OtlpMetrics ToOtlp(const MetricSnapshot& snapshot, const std::vector<Attribute>& resource,
                   Temporality temporality);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_OTLP_METRICS_H_
