// SPDX-License-Identifier: Apache-2.0
// Run statistics of loaded BPF programs (bpf_prog_info).
#ifndef SANDPIPER_USERSPACE_PROBE_PROGRAM_RUNS_H_
#define SANDPIPER_USERSPACE_PROBE_PROGRAM_RUNS_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "userspace/probe/probe_status.h"

struct bpf_object;
struct bpf_program;

namespace sandpiper {

// Appends nothing for a program that is not loaded.
void AppendRuns(const char* probe, const bpf_program* program, std::vector<ProgramRuns>* out);
void AppendRuns(const char* probe, const bpf_object* object, std::vector<ProgramRuns>* out);

// Subtracts from the missed runs of handle_X those that backup_X recovered
// (bpf/preemption_backup.bpf.h). Sets the missed runs of backup_X to 0, because they are no loss by
// themselves. `recovered_runs`: by X.
void SubtractRecoveredRuns(const std::vector<std::pair<std::string, uint64_t>>& recovered_runs,
                           std::vector<ProgramRuns>* programs);

// The warning for `missed` runs of a program.
std::string MissedText(const std::string& program, uint64_t missed);

// Returns a warning for each program with more missed runs than `reported` has, and updates
// `reported`.
std::vector<std::string> NewlyMissed(const std::vector<ProgramRuns>& programs,
                                     std::map<std::string, uint64_t>* reported);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_PROBE_PROGRAM_RUNS_H_
