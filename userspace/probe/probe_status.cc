// SPDX-License-Identifier: Apache-2.0
#include "userspace/probe/probe_status.h"

namespace sandpiper {

const char* Name(OperatingState state) {
  switch (state) {
    case OperatingState::kOn:
      return "on";
    case OperatingState::kDegraded:
      return "degraded";
    case OperatingState::kBlind:
      return "blind";
    case OperatingState::kOff:
      return "off";
  }
  return "";
}

OperatingState GetOperatingState(const ProbeState& probe, bool is_blind) {
  if (probe.mechanism.empty())
    return OperatingState::kOff;
  if (is_blind)
    return OperatingState::kBlind;
  return probe.reason.empty() ? OperatingState::kOn : OperatingState::kDegraded;
}

}  // namespace sandpiper
