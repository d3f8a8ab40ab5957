// SPDX-License-Identifier: Apache-2.0
// What the kernel tells of programs that are loaded (bpf_prog_info).
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

// Nothing for a program that is not loaded.
void AppendRuns(const char* probe, const bpf_program* program, std::vector<ProgramRuns>* out);
void AppendRuns(const char* probe, const bpf_object* object, std::vector<ProgramRuns>* out);

// Takes off handle_X what second_X (bpf/preemption_backup.bpf.h) made up for; what that one misses
// is no loss of its own. `recovered_runs`: by X.
void SubtractRecoveredRuns(const std::vector<std::pair<std::string, uint64_t>>& recovered_runs,
                           std::vector<ProgramRuns>* programs);

// What `missed` runs of a program mean to whoever relies on what is told.
std::string MissedText(const std::string& program, uint64_t missed);

// A sentence for each program that misses more than `told` says of it, which then says so.
std::vector<std::string> NewlyMissed(const std::vector<ProgramRuns>& programs,
                                     std::map<std::string, uint64_t>* told);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_PROBE_PROGRAM_RUNS_H_
