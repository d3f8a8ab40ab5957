// SPDX-License-Identifier: Apache-2.0
#include "userspace/aggregate/metric_catalog.h"

namespace sandpiper {

const char* Name(MetricKind kind) {
  switch (kind) {
    case MetricKind::kCounter:
      return "counter";
    case MetricKind::kUpDownCounter:
      return "up-down counter";
    case MetricKind::kGauge:
      return "gauge";
    case MetricKind::kHistogram:
      return "histogram";
  }
  return "";
}

}  // namespace sandpiper
