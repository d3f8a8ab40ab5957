// SPDX-License-Identifier: Apache-2.0
// Metrics for people and scripts: one JSON object a line and metric.
#ifndef SANDPIPER_USERSPACE_EXPORT_METRICS_JSON_H_
#define SANDPIPER_USERSPACE_EXPORT_METRICS_JSON_H_

#include <string>

#include "userspace/aggregate/metrics.h"

namespace sandpiper {

// {"name":…,"unit":…,"points":[{"attributes":{…},"value":…}]}; histograms have "count" and "sum",
// series that ended "stale".
std::string ToJson(const MetricSnapshot& snapshot);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_METRICS_JSON_H_
