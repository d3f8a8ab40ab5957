// SPDX-License-Identifier: Apache-2.0
// The names that Prometheus gives to OTLP metrics by itself, so that both ways in end in the same
// series: its default translation strategy, UnderscoreEscapingWithSuffixes
// (prometheus/otlptranslator, metric_namer.go and label_namer.go).
#ifndef SANDPIPER_USERSPACE_EXPORT_PROMETHEUS_NAMES_H_
#define SANDPIPER_USERSPACE_EXPORT_PROMETHEUS_NAMES_H_

#include <string>

#include "userspace/aggregate/metric_catalog.h"

namespace sandpiper {

// "egress.dns.query.duration", s -> "egress_dns_query_duration_seconds". Histograms without
// _bucket, _sum, _count.
std::string PrometheusName(const MetricRow& row);
std::string PrometheusLabel(const std::string& key);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_PROMETHEUS_NAMES_H_
