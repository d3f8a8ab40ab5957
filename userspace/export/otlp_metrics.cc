// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/otlp_metrics.h"

#include <map>
#include <string_view>

#include "userspace/base/version.h"

namespace sandpiper {
namespace {

namespace otlp = opentelemetry::proto;

// The values are text or bool, as in MetricPoint.
template <typename Message>
void AddAttributes(const std::vector<Attribute>& attributes, Message* out) {
  for (const Attribute& attribute : attributes) {
    auto* pair = out->add_attributes();
    pair->set_key(std::string(attribute.key.view()));
    if (const auto* text = std::get_if<SharedText>(&attribute.value))
      pair->mutable_value()->set_string_value(std::string(text->view()));
    else
      pair->mutable_value()->set_bool_value(std::get<bool>(attribute.value));
  }
}

// Fills the fields that all kinds of points have. False if the point has no value.
template <typename Point>
bool BeginPoint(const MetricPoint& point, uint64_t time, Point* out) {
  AddAttributes(point.attributes, out);
  out->set_start_time_unix_nano(point.start_unix_ns);
  out->set_time_unix_nano(point.time_unix_ns != 0 ? point.time_unix_ns : time);
  if (point.stale)
    out->set_flags(otlp::metrics::v1::DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK);
  return !point.stale;
}

void SetPoint(const MetricPoint& point, uint64_t time, otlp::metrics::v1::NumberDataPoint* out) {
  if (!BeginPoint(point, time, out))
    return;
  if (const auto* integer = std::get_if<int64_t>(&point.value))
    out->set_as_int(*integer);
  else
    out->set_as_double(std::get<double>(point.value));
}

void SetPoint(const MetricPoint& point, uint64_t time, otlp::metrics::v1::HistogramDataPoint* out) {
  if (!BeginPoint(point, time, out))
    return;
  const Histogram& histogram = std::get<Histogram>(point.value);
  out->set_count(histogram.count());
  out->set_sum(histogram.sum());
  for (const uint64_t bucket : histogram.buckets())
    out->add_bucket_counts(bucket);
  for (const double bound : histogram.bounds())
    out->add_explicit_bounds(bound);
}

void SetPoint(const MetricPoint& point, uint64_t time,
              otlp::metrics::v1::ExponentialHistogramDataPoint* out) {
  if (!BeginPoint(point, time, out))
    return;
  const Histogram& histogram = std::get<Histogram>(point.value);
  out->set_count(histogram.count());
  out->set_sum(histogram.sum());
  out->set_scale(histogram.scale());
  out->set_zero_count(histogram.zero_count());
  out->mutable_positive()->set_offset(static_cast<int32_t>(histogram.offset()));
  for (const uint64_t bucket : histogram.buckets())
    out->mutable_positive()->add_bucket_counts(bucket);
}

template <typename Data>
void SetPoints(const MetricFamily& family, uint64_t time, Data* data) {
  for (const MetricPoint& point : family.points)
    SetPoint(point, time, data->add_data_points());
}

// Up-down counters are cumulative with either preference (metrics/sdk_exporters/otlp.md).
void SetMetric(const MetricFamily& family, uint64_t time, Temporality wanted,
               otlp::metrics::v1::Metric* out) {
  constexpr auto kCumulative = otlp::metrics::v1::AGGREGATION_TEMPORALITY_CUMULATIVE;
  const auto temporality = wanted == Temporality::kDelta
                               ? otlp::metrics::v1::AGGREGATION_TEMPORALITY_DELTA
                               : kCumulative;
  out->set_name(family.row->name);
  out->set_unit(family.row->unit);
  out->set_description(family.row->meaning);
  switch (family.row->kind) {
    case MetricKind::kCounter:
      out->mutable_sum()->set_is_monotonic(true);
      out->mutable_sum()->set_aggregation_temporality(temporality);
      SetPoints(family, time, out->mutable_sum());
      break;
    case MetricKind::kUpDownCounter:
      out->mutable_sum()->set_aggregation_temporality(kCumulative);
      SetPoints(family, time, out->mutable_sum());
      break;
    case MetricKind::kGauge:
      SetPoints(family, time, out->mutable_gauge());
      break;
    case MetricKind::kHistogram:
      if (std::get<Histogram>(family.points[0].value).kind() == HistogramKind::kExponential) {
        out->mutable_exponential_histogram()->set_aggregation_temporality(temporality);
        SetPoints(family, time, out->mutable_exponential_histogram());
      } else {
        out->mutable_histogram()->set_aggregation_temporality(temporality);
        SetPoints(family, time, out->mutable_histogram());
      }
      break;
  }
}

}  // namespace

OtlpMetrics ToOtlp(const MetricSnapshot& snapshot, const std::vector<Attribute>& resource,
                   Temporality temporality) {
  OtlpMetrics request;
  auto* resource_metrics = request.add_resource_metrics();
  AddAttributes(resource, resource_metrics->mutable_resource());
  std::map<std::string_view, otlp::metrics::v1::ScopeMetrics*> scopes;
  for (const MetricFamily& family : snapshot.families) {
    auto*& scope = scopes[family.row->scope];
    if (!scope) {
      scope = resource_metrics->add_scope_metrics();
      scope->mutable_scope()->set_name(family.row->scope);
      scope->mutable_scope()->set_version(kVersion);
    }
    SetMetric(family, snapshot.time_unix_ns, temporality, scope->add_metrics());
  }
  return request;
}

}  // namespace sandpiper
