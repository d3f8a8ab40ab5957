// SPDX-License-Identifier: Apache-2.0
// Metrics as text: one line with one JSON object for each metric.
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
