// SPDX-License-Identifier: Apache-2.0
#include "userspace/canary/expected_events.h"

#include "bpf/events.h"

namespace sandpiper {
namespace {

// The actions of the test process (userspace/command/canary.cc), each with the probe that reports
// it.
struct ExpectedEvent {
  uint16_t kind;
  const char* probe;
  const char* name;
};
constexpr ExpectedEvent kExpectedEvents[] = {
    {EVENT_EXEC, "process", "exec"},
    {EVENT_EXIT, "process", "exit"},
    {EVENT_CONNECT, "connect", "connect"},
    {EVENT_CONNECT_RESULT, "connect.outcome", "established connection"},
    {EVENT_DNS_QUERY, "packet", "lookup"},
    {EVENT_DNS_ANSWER, "packet", "answer"},
};

}  // namespace

std::vector<BlindProbe> FindBlindProbes(const EventCounts& seen, const KernelCounts& kernel) {
  std::vector<BlindProbe> out;
  for (const ExpectedEvent& event : kExpectedEvents) {
    if (seen[event.kind] > 0 || kernel.lost(event.kind) > 0)
      continue;
    // Events of one probe stand next to each other.
    if (out.empty() || out.back().probe != event.probe)
      out.push_back({.probe = event.probe, .missing = {}});
    out.back().missing.push_back(event.name);
  }
  return out;
}

}  // namespace sandpiper
