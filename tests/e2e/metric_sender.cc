// SPDX-License-Identifier: Apache-2.0
// metric_sender URL COUNT EACH: sends COUNT points in one request. Every EACH-th point is a sum of
// delta temporality, which Prometheus rejects. Prints "sent N rejected N".
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <string>

#include "opentelemetry/proto/collector/metrics/v1/metrics_service.pb.h"
#include "userspace/base/clock.h"
#include "userspace/export/delivery.h"

namespace metrics = opentelemetry::proto::metrics::v1;

int main(int argc, char** argv) {
  if (argc < 4)
    return 2;
  const int count = atoi(argv[2]);
  const int each = atoi(argv[3]);
  opentelemetry::proto::collector::metrics::v1::ExportMetricsServiceRequest message;
  metrics::ScopeMetrics* const scope = message.add_resource_metrics()->add_scope_metrics();
  const uint64_t now = sandpiper::ReadClock(CLOCK_REALTIME);
  for (int i = 0; i < count; ++i) {
    metrics::Metric* const metric = scope->add_metrics();
    metric->set_name("test.number");
    metrics::Sum* const sum = metric->mutable_sum();
    sum->set_is_monotonic(true);
    sum->set_aggregation_temporality((i + 1) % each == 0
                                         ? metrics::AGGREGATION_TEMPORALITY_DELTA
                                         : metrics::AGGREGATION_TEMPORALITY_CUMULATIVE);
    metrics::NumberDataPoint* const point = sum->add_data_points();
    auto* const attribute = point->add_attributes();
    attribute->set_key("i");
    attribute->mutable_value()->set_string_value(std::to_string(i));
    point->set_start_time_unix_nano(now - sandpiper::kSecond);
    point->set_time_unix_nano(now);
    point->set_as_int(i);
  }
  sandpiper::Delivery delivery(
      sandpiper::MakeHttpTransport({.target = argv[1]}, sandpiper::Signal::kMetrics).value(),
      sandpiper::Signal::kMetrics);
  std::deque<sandpiper::Request> requests = {
      {.bytes = message.SerializeAsString(), .items = static_cast<uint64_t>(count)}};
  const sandpiper::Delivered delivered = delivery.Send(&requests);
  printf("sent %llu rejected %llu\n", static_cast<unsigned long long>(delivered.sent),
         static_cast<unsigned long long>(delivered.refused));
  if (!delivered.wait)
    return 0;
  fprintf(stderr, "%s\n", delivered.error.c_str());
  return 1;
}
