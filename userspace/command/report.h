// SPDX-License-Identifier: Apache-2.0
// The report of `sandpiper exec`: a table for a terminal, a page for a browser, JSON for programs.
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
  int wait_status = 0;  // of the command, from wait(2)
  uint64_t ended_ns = 0;
  uint64_t unattributed = 0;  // events without an owner
  std::vector<ProgramRuns> programs;
};

std::string TableReport(const ReportInput& input);
std::string JsonReport(const ReportInput& input);
// A page that loads no other files: a timeline, a graph of programs and destinations, tables.
// `records` are the records of the sandbox, each one a JSON object.
std::string HtmlReport(const ReportInput& input, const std::vector<std::string>& records);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_COMMAND_REPORT_H_
