// SPDX-License-Identifier: Apache-2.0
#ifndef SANDPIPER_USERSPACE_CANARY_EXPECTED_EVENTS_H_
#define SANDPIPER_USERSPACE_CANARY_EXPECTED_EVENTS_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "userspace/aggregate/sandbox_metrics.h"

namespace sandpiper {

using EventCounts = std::array<uint64_t, KernelCounts::kKinds>;  // by kind

// A probe that did not report all expected events.
struct BlindProbe {
  std::string probe;
  std::vector<std::string> missing;  // names of the events

  bool operator==(const BlindProbe&) const = default;
};

// Compares the events of one run of the test process with those that it must cause. `seen`: events
// that were read in the run. `kernel`: its counters for the run. An event that was dropped counts
// as reported, since its probe works.
std::vector<BlindProbe> FindBlindProbes(const EventCounts& seen, const KernelCounts& kernel);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CANARY_EXPECTED_EVENTS_H_
