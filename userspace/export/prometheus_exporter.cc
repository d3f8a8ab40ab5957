// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/prometheus_exporter.h"

#include <prometheus/collectable.h>
#include <prometheus/exposer.h>

#include <exception>
#include <limits>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "userspace/base/event_loop_requests.h"
#include "userspace/export/prometheus_names.h"

namespace sandpiper {
namespace {

// Prometheus's default scrape_timeout.
constexpr std::chrono::seconds kAnswerTimeout{10};

std::vector<prometheus::ClientMetric::Label> Labels(const std::vector<Attribute>& attributes) {
  std::vector<prometheus::ClientMetric::Label> out;
  for (const Attribute& attribute : attributes) {
    const auto* text = std::get_if<SharedText>(&attribute.value);
    const std::string_view value = text                              ? text->view()
                                   : std::get<bool>(attribute.value) ? "true"
                                                                     : "false";
    out.push_back({PrometheusLabel(std::string(attribute.key.view())), std::string(value)});
  }
  return out;
}

double Number(const MetricPoint& point) {
  const auto* integer = std::get_if<int64_t>(&point.value);
  return integer ? static_cast<double>(*integer) : std::get<double>(point.value);
}

prometheus::ClientMetric ToMetric(const MetricRow& row, const MetricPoint& point) {
  prometheus::ClientMetric out;
  out.label = Labels(point.attributes);
  if (row.kind == MetricKind::kCounter) {
    out.counter.value = Number(point);
  } else if (row.kind != MetricKind::kHistogram) {
    out.gauge.value = Number(point);
  } else {
    const Histogram& histogram = std::get<Histogram>(point.value);
    out.histogram.sample_count = histogram.count();
    out.histogram.sample_sum = histogram.sum();
    uint64_t below = 0;
    for (size_t i = 0; i < histogram.buckets().size(); ++i) {
      below += histogram.buckets()[i];
      const double bound = i < histogram.bounds().size() ? histogram.bounds()[i]
                                                         : std::numeric_limits<double>::infinity();
      out.histogram.bucket.push_back({.cumulative_count = below, .upper_bound = bound});
    }
  }
  return out;
}

prometheus::MetricType TypeOf(MetricKind kind) {
  switch (kind) {  // no default: the compiler reports a kind without a case
    case MetricKind::kCounter:
      return prometheus::MetricType::Counter;
    case MetricKind::kUpDownCounter:
    case MetricKind::kGauge:
      return prometheus::MetricType::Gauge;
    case MetricKind::kHistogram:
      return prometheus::MetricType::Histogram;
  }
  return prometheus::MetricType::Untyped;
}

class Scrapes : public prometheus::Collectable {
 public:
  explicit Scrapes(std::vector<Attribute> resource) : resource_(std::move(resource)) {}

  // Called by a thread of the HTTP server. The event loop makes the snapshot. If it is too busy,
  // the scrape gets no metrics: old values would be wrong.
  std::vector<prometheus::MetricFamily> Collect() const override {
    const auto snapshot = requests.Call(kAnswerTimeout);
    return snapshot ? ToPrometheus(*snapshot, resource_) : std::vector<prometheus::MetricFamily>();
  }

  mutable EventLoopRequests<MetricSnapshot> requests;

 private:
  std::vector<Attribute> resource_;
};

}  // namespace

std::vector<prometheus::MetricFamily> ToPrometheus(const MetricSnapshot& snapshot,
                                                   const std::vector<Attribute>& resource) {
  std::vector<prometheus::MetricFamily> out;
  for (const MetricFamily& family : snapshot.families) {
    prometheus::MetricFamily made = {.name = PrometheusName(*family.row),
                                     .help = family.row->meaning,
                                     .type = TypeOf(family.row->kind),
                                     .metric = {}};
    std::map<std::string, size_t> places;
    for (const MetricPoint& point : family.points) {
      if (point.stale)
        continue;
      const auto [place, added] =
          places.try_emplace(SeriesKey(point.attributes), made.metric.size());
      if (added)
        made.metric.push_back(ToMetric(*family.row, point));
      else
        made.metric[place->second] = ToMetric(*family.row, point);
    }
    if (!made.metric.empty())
      out.push_back(std::move(made));
  }
  prometheus::MetricFamily target = {.name = "target_info",
                                     .help = "Resource of the telemetry",
                                     .type = prometheus::MetricType::Gauge,
                                     .metric = {}};
  target.metric.emplace_back();
  target.metric[0].label = Labels(resource);
  target.metric[0].gauge.value = 1;
  out.push_back(std::move(target));
  return out;
}

struct PrometheusExporter::Impl {
  std::shared_ptr<Scrapes> scraped;
  std::unique_ptr<prometheus::Exposer> exposer;  // declared last: its threads use the other member
};

PrometheusExporter::PrometheusExporter(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

PrometheusExporter::~PrometheusExporter() { impl_->scraped->requests.Close(); }

absl::StatusOr<std::unique_ptr<PrometheusExporter>> PrometheusExporter::Start(
    const std::string& address, const std::vector<Attribute>& resource) {
  auto impl = std::make_unique<Impl>();
  impl->scraped = std::make_shared<Scrapes>(resource);
  try {
    impl->exposer = std::make_unique<prometheus::Exposer>(address);
  } catch (const std::exception& error) {
    return absl::UnavailableError(
        absl::StrCat("listening at ", address,
                     " for Prometheus (OTEL_EXPORTER_PROMETHEUS_HOST, _PORT): ", error.what()));
  }
  impl->exposer->RegisterCollectable(impl->scraped);
  return std::unique_ptr<PrometheusExporter>(new PrometheusExporter(std::move(impl)));
}

int PrometheusExporter::event_fd() const { return impl_->scraped->requests.event_fd(); }

void PrometheusExporter::Answer(const std::function<MetricSnapshot()>& collect) {
  impl_->scraped->requests.Serve(collect);
}

}  // namespace sandpiper
