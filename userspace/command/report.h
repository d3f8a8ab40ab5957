// SPDX-License-Identifier: Apache-2.0
// What a sandbox did, for people (table, page) and for programs (JSON).
#ifndef SANDPIPER_USERSPACE_COMMAND_REPORT_H_
#define SANDPIPER_USERSPACE_COMMAND_REPORT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "userspace/probe/probes.h"
#include "userspace/probe/program_runs.h"
#include "userspace/session/sandbox_session.h"

namespace sandpiper {

struct ReportInput {
  const SandboxSession& sandbox;
  const std::vector<ProbeState>& probes;
  std::vector<std::string> command;
  int wait_status = 0;  // of CMD, as wait(2) gives it
  uint64_t ended_ns = 0;
  uint64_t unattributed = 0;  // records that belong to nobody
  std::vector<ProgramRuns> programs;
};

std::string TableReport(const ReportInput& input);
std::string JsonReport(const ReportInput& input);
// One page for a browser, which needs nothing else: a timeline, who reached what, tables.
// `records`: its log records, each a JSON object.
std::string HtmlReport(const ReportInput& input, const std::vector<std::string>& records);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_COMMAND_REPORT_H_
