// The facts that both forms of the report show.
#ifndef SANDPIPER_USERSPACE_COMMAND_REPORT_DATA_H_
#define SANDPIPER_USERSPACE_COMMAND_REPORT_DATA_H_

#include <string>
#include <vector>

#include "userspace/command/report.h"

namespace sandpiper {

struct EventAccount {
  std::string kind;
  uint64_t produced = 0, delivered = 0, dropped = 0;
};

// By kind, those that happened.
std::vector<EventAccount> Account(const SandboxPipeline& sandbox);

// Why the report may be incomplete, one sentence each; empty: nothing was missed.
std::vector<std::string> Gaps(const ReportInput& input);

// "exit 0", "signal 9".
std::string StatusText(uint32_t wait_status);

// "none", "known", "unknown".
const char* RulesState(const RulesSummary& rules);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_COMMAND_REPORT_DATA_H_
