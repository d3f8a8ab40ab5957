// Log records and metric snapshots -> OTLP requests (opentelemetry/proto, collector services v1).
#ifndef SANDPIPER_USERSPACE_EXPORT_OTLP_H_
#define SANDPIPER_USERSPACE_EXPORT_OTLP_H_

#include <span>
#include <string>
#include <vector>

#include "opentelemetry/proto/collector/logs/v1/logs_service.pb.h"
#include "opentelemetry/proto/collector/metrics/v1/metrics_service.pb.h"
#include "userspace/aggregate/log_record.h"
#include "userspace/aggregate/metrics.h"
#include "userspace/export/otel_config.h"

namespace sandpiper {

using OtlpLogs = opentelemetry::proto::collector::logs::v1::ExportLogsServiceRequest;
using OtlpMetrics = opentelemetry::proto::collector::metrics::v1::ExportMetricsServiceRequest;

OtlpLogs ToOtlp(std::span<const LogRecord> records, const std::vector<Attribute>& resource);
// `temporality`: of the counters and histograms in the snapshot.
OtlpMetrics ToOtlp(const MetricSnapshot& snapshot, const std::vector<Attribute>& resource, Temporality temporality);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_OTLP_H_
