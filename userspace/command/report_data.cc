// SPDX-License-Identifier: Apache-2.0
#include "userspace/command/report_data.h"

#include <sys/wait.h>

#include "absl/strings/str_cat.h"
#include "userspace/event/event_kind.h"

namespace sandpiper {

std::vector<EventAccount> Account(const SandboxSession& sandbox) {
  const KernelCounts& kernel = sandbox.counters();
  std::vector<EventAccount> out;
  for (uint16_t kind = 1; kind < KernelCounts::kKinds; ++kind) {
    EventAccount account = {.kind = KindName(kind),
                            .produced = kernel.produced[kind],
                            .delivered = sandbox.delivery().delivered[kind],
                            .dropped = kernel.lost(kind)};
    for (const auto& [key, count] : sandbox.delivery().lost) {
      if (std::get<2>(key) == kind)
        account.dropped += count;
    }
    if (account.produced | account.delivered | account.dropped)
      out.push_back(account);
  }
  return out;
}

std::vector<std::string> Gaps(const ReportInput& input) {
  std::vector<std::string> out;
  for (const EventAccount& account : Account(input.sandbox)) {
    if (account.dropped > 0)
      out.push_back(absl::StrCat(account.dropped, " of ", account.produced, " ", account.kind,
                                 " events were dropped"));
    if (account.produced != account.delivered + account.dropped)
      out.push_back(absl::StrCat("the counts of ", account.kind,
                                 " events do not add up: ", account.produced, " produced, ",
                                 account.delivered, " delivered, ", account.dropped, " dropped"));
  }
  if (const uint64_t failed = input.sandbox.counters().storage_failed; failed > 0)
    out.push_back(absl::StrCat("the kernel had no memory for ", failed, " sockets or cgroups"));
  if (input.unattributed > 0)
    out.push_back(absl::StrCat(input.unattributed, " events could not be attributed to a sandbox"));
  for (const ProgramRuns& program : input.programs) {
    if (program.missed > 0)
      out.push_back(MissedText(program.program, program.missed));
  }
  if (const uint64_t evicted = input.sandbox.lookups().evicted(); evicted > 0)
    out.push_back(absl::StrCat(evicted, " lookups have no outcome: too many were open at once"));
  if (const uint64_t overflowed = input.sandbox.ledger().overflowed(); overflowed > 0)
    out.push_back(absl::StrCat(
        overflowed, " attempts and lookups are only in the totals: too many destinations"));
  if (const size_t dropped = input.sandbox.processes().dropped(); dropped > 0)
    out.push_back(absl::StrCat(dropped, " exited processes are not listed: too many processes"));
  if (input.sandbox.rules().state == RulesSummary::State::kUnknown)
    out.push_back("the current nftables rules could not be read");
  for (const ProbeState& probe : input.probes) {
    if (probe.mechanism.empty())
      out.push_back(absl::StrCat("the probe ", probe.probe, " is off: ", probe.reason));
  }
  return out;
}

const char* RulesState(const RulesSummary& rules) {
  switch (rules.state) {
    case RulesSummary::State::kNone:
      return "none";
    case RulesSummary::State::kKnown:
      return "known";
    case RulesSummary::State::kUnknown:
      return "unknown";
  }
  return "";
}

std::string StatusText(uint32_t wait_status) {
  const int status = static_cast<int>(wait_status);
  return WIFSIGNALED(status) ? absl::StrCat("signal ", WTERMSIG(status))
                             : absl::StrCat("exit ", WEXITSTATUS(status));
}

}  // namespace sandpiper
