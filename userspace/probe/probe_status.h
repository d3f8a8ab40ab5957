// SPDX-License-Identifier: Apache-2.0
// How well the probes work: their mechanisms, and the runs of their BPF programs. `Probes`
// implements it; unit tests use a fake.
#ifndef SANDPIPER_USERSPACE_PROBE_PROBE_STATUS_H_
#define SANDPIPER_USERSPACE_PROBE_PROBE_STATUS_H_

#include <cstdint>
#include <string>
#include <vector>

namespace sandpiper {

// The mechanism that a probe uses, and why it does not use a better one.
struct ProbeState {
  std::string probe;
  std::string mechanism;  // empty: the probe is off
  std::string reason;     // one for each unavailable mechanism, "fexit: Operation not permitted"
};

// How well a probe, or another part of the host that sandpiper uses, works.
enum class OperatingState {
  kOn,
  kDegraded,  // works, but not by the best mechanism
  kBlind,     // attached, but the self-test saw no events of it
  kOff,
};

// "on", "degraded", "blind", "off": values of metrics and of `doctor`.
const char* Name(OperatingState state);

OperatingState GetOperatingState(const ProbeState& probe, bool is_blind = false);

// How often a BPF program ran. `time_ns` and `count` are 0 unless the kernel keeps statistics
// (BPF_ENABLE_STATS).
struct ProgramRuns {
  std::string probe;
  std::string program;
  uint64_t time_ns = 0;
  uint64_t count = 0;
  uint64_t missed = 0;  // runs that the kernel's recursion guard skipped; counted since 5.12
};

class ProbeStatus {
 public:
  virtual ~ProbeStatus() = default;

  virtual const std::vector<ProbeState>& states() const = 0;
  virtual std::vector<ProgramRuns> ReadRuns() const = 0;

  virtual bool nf_tables_is_loaded() const = 0;
  // Call when nf_tables was loaded: only then can its probe attach.
  virtual void OnNftLoaded() = 0;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_PROBE_PROBE_STATUS_H_
