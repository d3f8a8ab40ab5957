// SPDX-License-Identifier: Apache-2.0
// The report of `sandpiper exec`: a table for a terminal, a page for a browser, JSON for programs.
#ifndef SANDPIPER_USERSPACE_COMMAND_REPORT_H_
#define SANDPIPER_USERSPACE_COMMAND_REPORT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "userspace/command/report_redaction.h"
#include "userspace/probe/probes.h"
#include "userspace/probe/program_runs.h"
#include "userspace/session/attempt_log.h"
#include "userspace/session/sandbox_session.h"

namespace sandpiper {

struct ReportInput {
  const SandboxSession& sandbox;
  const std::vector<ProbeState>& probes;
  const ReportRedaction& redaction;
  std::vector<std::string> command;
  int wait_status = 0;  // of the command, from wait(2)
  uint64_t ended_ns = 0;
  uint64_t unattributed = 0;  // events without an owner
  std::vector<ProgramRuns> programs;
};

// What the page shows one by one. The counts of the page include what was omitted.
struct PageLog {
  std::vector<std::string> records;  // of the sandbox, each one a JSON object
  uint64_t omitted_records = 0;
  std::vector<Attempt> attempts;
  uint64_t omitted_attempts = 0;
};

// All reports mask secrets by `input.redaction`.
std::string TableReport(const ReportInput& input);
std::string JsonReport(const ReportInput& input);
// A page that loads no other files: a timeline, a graph of programs and destinations, tables. It
// contains only what it shows.
std::string HtmlReport(const ReportInput& input, const PageLog& log);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_COMMAND_REPORT_H_
