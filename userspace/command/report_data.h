// SPDX-License-Identifier: Apache-2.0
// Facts that all forms of the report show.
#ifndef SANDPIPER_USERSPACE_COMMAND_REPORT_DATA_H_
#define SANDPIPER_USERSPACE_COMMAND_REPORT_DATA_H_

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "userspace/command/report.h"

namespace sandpiper {

struct EventAccount {
  std::string kind;
  uint64_t produced = 0;
  uint64_t delivered = 0;
  uint64_t dropped = 0;
};

// The counts of each kind of event that occurred.
std::vector<EventAccount> Account(const SandboxSession& sandbox);

// The reasons why the report may be incomplete, one sentence each. Empty if no event was lost.
std::vector<std::string> Gaps(const ReportInput& input);

// The names and counts of the outcomes that occurred.
using NamedCounts = std::vector<std::pair<const char*, uint64_t>>;
template <typename Outcome, size_t N>
NamedCounts Named(const std::array<uint64_t, N>& counts) {
  NamedCounts out;
  for (size_t i = 0; i < N; ++i) {
    if (counts[i] > 0)
      out.emplace_back(Name(static_cast<Outcome>(i)), counts[i]);
  }
  return out;
}

// The data of the page as JSON: what its script shows, and no more.
std::string PageData(const ReportInput& input, const PageLog& log);

// "exit 0", "signal 9".
std::string StatusText(uint32_t wait_status);

// "none", "known", "unknown".
const char* RulesState(const RulesSummary& rules);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_COMMAND_REPORT_DATA_H_
