// SPDX-License-Identifier: Apache-2.0
// Names of metrics in Prometheus. They equal the names that Prometheus gives to the same metrics
// when it receives them over OTLP: its default translation strategy, UnderscoreEscapingWithSuffixes
// (prometheus/otlptranslator, metric_namer.go and label_namer.go).
#ifndef SANDPIPER_USERSPACE_EXPORT_PROMETHEUS_NAMES_H_
#define SANDPIPER_USERSPACE_EXPORT_PROMETHEUS_NAMES_H_

#include <string>

#include "userspace/aggregate/metric_catalog.h"

namespace sandpiper {

// For example "egress_dns_query_duration_seconds" for egress.dns.query.duration in s. Histograms
// have no suffix _bucket, _sum or _count.
std::string PrometheusName(const MetricRow& row);
std::string PrometheusLabel(const std::string& key);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_PROMETHEUS_NAMES_H_
