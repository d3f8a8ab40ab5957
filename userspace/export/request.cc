// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/request.h"

#include <algorithm>

#include "opentelemetry/proto/collector/logs/v1/logs_service.pb.h"
#include "opentelemetry/proto/collector/metrics/v1/metrics_service.pb.h"

namespace sandpiper {
namespace {

using OtlpLogs = opentelemetry::proto::collector::logs::v1::ExportLogsServiceRequest;
using OtlpMetrics = opentelemetry::proto::collector::metrics::v1::ExportMetricsServiceRequest;

// The items to keep: of all items in order, skip `skip`, keep the next `keep`, drop the rest.
struct Range {
  uint64_t skip, keep;
};

template <typename List>
void Cut(List* list, Range* range) {
  const auto size = static_cast<uint64_t>(list->size());
  const uint64_t before = std::min(size, range->skip), kept = std::min(size - before, range->keep);
  range->skip -= before;
  range->keep -= kept;
  list->DeleteSubrange(static_cast<int>(before + kept), static_cast<int>(size - before - kept));
  list->DeleteSubrange(0, static_cast<int>(before));
}

template <typename List, typename IsDropped>
void DropIf(List* list, const IsDropped& is_dropped) {
  list->erase(std::remove_if(list->begin(), list->end(), is_dropped), list->end());
}

void Keep(OtlpLogs* logs, Range range) {
  for (auto& resource : *logs->mutable_resource_logs()) {
    for (auto& scope : *resource.mutable_scope_logs())
      Cut(scope.mutable_log_records(), &range);
  }
}

// False if no point is left: some servers reject a metric without points.
bool CutPoints(opentelemetry::proto::metrics::v1::Metric* metric, Range* range) {
  const auto cut = [range](auto* data) {
    Cut(data->mutable_data_points(), range);
    return data->data_points_size() > 0;
  };
  using opentelemetry::proto::metrics::v1::Metric;
  switch (metric->data_case()) {
    case Metric::kGauge:
      return cut(metric->mutable_gauge());
    case Metric::kSum:
      return cut(metric->mutable_sum());
    case Metric::kHistogram:
      return cut(metric->mutable_histogram());
    case Metric::kExponentialHistogram:
      return cut(metric->mutable_exponential_histogram());
    case Metric::kSummary:
      return cut(metric->mutable_summary());
    case Metric::DATA_NOT_SET:
      return false;
  }
  return false;
}

void Keep(OtlpMetrics* metrics, Range range) {
  for (auto& resource : *metrics->mutable_resource_metrics()) {
    for (auto& scope : *resource.mutable_scope_metrics())
      DropIf(scope.mutable_metrics(), [&](auto& metric) { return !CutPoints(&metric, &range); });
    DropIf(resource.mutable_scope_metrics(),
           [](const auto& scope) { return scope.metrics().empty(); });
  }
}

template <typename Message>
std::optional<std::pair<Request, Request>> HalveAs(const Request& request) {
  Message first;
  if (!first.ParseFromString(request.bytes))
    return std::nullopt;
  Message second = first;
  const uint64_t half = request.items / 2;
  Keep(&first, {.skip = 0, .keep = half});
  Keep(&second, {.skip = half, .keep = request.items - half});
  return std::pair(Request{first.SerializeAsString(), half},
                   Request{second.SerializeAsString(), request.items - half});
}

}  // namespace

std::optional<std::pair<Request, Request>> Halve(const Request& request, Signal signal) {
  if (request.items < 2)
    return std::nullopt;
  return signal == Signal::kLogs ? HalveAs<OtlpLogs>(request) : HalveAs<OtlpMetrics>(request);
}

}  // namespace sandpiper
