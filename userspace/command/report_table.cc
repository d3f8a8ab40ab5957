// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "userspace/base/text.h"
#include "userspace/command/report_data.h"
#include "userspace/command/text_table.h"

namespace sandpiper {
namespace {

constexpr size_t kAddressesShown = 3;
constexpr size_t kArgsShown = 100;  // characters

std::string List(const Addresses& addresses) {
  std::vector<std::string> shown;
  for (const Address& address : addresses) {
    if (shown.size() == kAddressesShown) {
      shown.push_back(absl::StrCat("+", addresses.size() - kAddressesShown));
      break;
    }
    shown.push_back(address.ToString());
  }
  return shown.empty() ? "-" : absl::StrJoin(shown, " ");
}

std::string Outcomes(const NamedCounts& outcomes, uint64_t all) {
  std::vector<std::string> out;
  uint64_t decided = 0;
  for (const auto& [name, count] : outcomes) {
    decided += count;
    out.push_back(count == 1 && all == 1 ? name : absl::StrCat(count, " ", name));
  }
  if (decided < all)
    out.push_back(absl::StrCat(all - decided, " open"));
  return absl::StrJoin(out, ", ");
}

std::string Section(const char* title, const TextTable& table) {
  return table.empty()
             ? ""
             : absl::StrCat("\n", title, "\n  ", absl::StrJoin(table.Lines(), "\n  "), "\n");
}

std::string Destinations(const Ledger& ledger, bool loopback, const ReportRedaction& redaction) {
  TextTable table(
      {"DESTINATION", "ADDRESS", "PORT", "ATTEMPTS", "OUTCOME", "SENT", "RECEIVED", "LATENCY"});
  for (const auto* entry : InOrder(ledger.destinations())) {
    const auto& [key, d] = *entry;
    if (d.loopback != loopback)
      continue;
    const std::string latency =
        d.total.established > 0 ? DurationText(d.latency_sum_ns / d.total.established) : "-";
    table.Add({key.host.empty() ? "(no name)" : redaction.Host(key.host), List(d.addresses),
               absl::StrCat(key.port, "/", Name(key.transport)), absl::StrCat(d.total.attempts),
               Outcomes(Named<ConnectOutcome>(d.outcomes), d.total.attempts),
               BytesText(d.total.sent), BytesText(d.total.received), latency});
  }
  return Section(loopback ? "Within the host (loopback)" : "Destinations", table);
}

std::string Lookups(const Ledger& ledger, const ReportRedaction& redaction) {
  TextTable table({"LOOKUP", "TYPE", "COUNT", "OUTCOME", "ANSWER", "SERVER", "SLOWEST"});
  for (const auto* entry : InOrder(ledger.questions())) {
    const auto& [question, stats] = *entry;
    const bool readable = !question.name.empty();
    table.Add({readable ? redaction.Host(question.name) : "(malformed)",
               readable ? std::string(DnsTypeName(question.type).view()) : "-",
               absl::StrCat(stats.lookups),
               Outcomes(Named<DnsOutcome>(stats.outcomes), stats.lookups), List(stats.addresses),
               stats.server.ToString(), DurationText(stats.latency_max_ns)});
  }
  return Section("Lookups", table);
}

std::string CommandLine(const Process& process, const ReportRedaction& redaction) {
  const std::string line = absl::StrJoin(redaction.Arguments(process.args), " ");
  return line.empty() ? Escape(process.comm) : Fit(line, kArgsShown);
}

std::string Processes(const ProcessTable& processes, const ReportRedaction& redaction) {
  const std::vector<const Process*> all = processes.All();
  std::multimap<ProcessKey, const Process*> children;
  std::set<ProcessKey> known;
  for (const Process* p : all)
    known.insert(p->key);
  for (const Process* p : all)
    children.emplace(known.contains(p->parent) && p->parent != p->key ? p->parent : ProcessKey{},
                     p);
  std::string out;
  const std::function<void(const ProcessKey&, int)> write = [&](const ProcessKey& parent,
                                                                int depth) {
    const auto [first, last] = children.equal_range(parent);
    for (auto it = first; it != last; ++it) {
      const Process& p = *it->second;
      const std::string end =
          p.exited_ns ? absl::StrCat(StatusText(p.status), ", ", DurationText(p.duration_ns()))
                      : "left the sandbox's cgroup, or its exit event is missing";
      absl::StrAppendFormat(
          &out, "  %s%d %s  (%s)%s\n", std::string(static_cast<size_t>(depth) * 2, ' '), p.key.pid,
          CommandLine(p, redaction), end,
          p.script.empty() ? "" : absl::StrCat("  script ", redaction.Path(p.script.view())));
      write(p.key, depth + 1);
    }
  };
  write(ProcessKey{}, 0);
  return out.empty() ? "" : absl::StrCat("\nProcesses\n", out);
}

std::string Times(uint64_t n) { return n == 1 ? "once" : absl::StrCat(n, " times"); }

std::string Rules(const RulesSummary& rules) {
  std::string out = "Rules: ";
  if (rules.state == RulesSummary::State::kKnown)
    absl::StrAppend(&out, rules.rules, " nftables rules for egress, default ",
                    rules.default_deny ? "deny" : "allow");
  else
    absl::StrAppend(&out, rules.state == RulesSummary::State::kNone ? "no nftables rules for egress"
                                                                    : "could not be read");
  if (rules.has_xtables)
    absl::StrAppend(&out, "; rules of iptables-legacy are in force too, and cannot be read");
  if (rules.changes > 0)
    absl::StrAppend(&out, "; changed ", Times(rules.changes));
  if (rules.changes_by_app > 0)
    absl::StrAppend(&out, "; ", Times(rules.changes_by_app), " BY THE SANDBOX ITSELF");
  if (rules.refused > 0)
    absl::StrAppend(&out, "; rejected changes: ", rules.refused);
  return out + ".\n";
}

}  // namespace

std::string TableReport(const ReportInput& input) {
  const SandboxSession& sandbox = input.sandbox;
  const SandboxTotals totals = sandbox.Totals();
  const ReportRedaction& redaction = input.redaction;
  std::string out =
      absl::StrCat("\nsandpiper: ", absl::StrJoin(redaction.Arguments(input.command), " "), ": ",
                   StatusText(static_cast<uint32_t>(input.wait_status)), " after ",
                   DurationText(input.ended_ns - sandbox.started_ns()), "\n");
  absl::StrAppend(
      &out, Destinations(sandbox.ledger(), false, redaction), Lookups(sandbox.ledger(), redaction),
      Destinations(sandbox.ledger(), true, redaction), Processes(sandbox.processes(), redaction));
  absl::StrAppend(&out, "\nTotals: ", totals.destinations, " destinations, ", totals.attempts,
                  " connection attempts, ", totals.lookups, " lookups, ", totals.denied,
                  " denied, ", totals.execs, " programs started; ",
                  BytesText(sandbox.counters().sent), " sent, ",
                  BytesText(sandbox.counters().received), " received on the network.\n");
  out += Rules(sandbox.rules());
  if (totals.ignored_answers > 0)
    absl::StrAppend(&out, totals.ignored_answers,
                    " DNS answers were ignored: wrong address, or no matching query.\n");
  uint64_t produced = 0, delivered = 0;
  for (const EventAccount& account : Account(sandbox)) {
    produced += account.produced;
    delivered += account.delivered;
  }
  const std::vector<std::string> gaps = Gaps(input);
  if (gaps.empty()) {
    absl::StrAppend(&out, "Nothing was missed: the kernel counted ", produced, " events, and all ",
                    delivered, " are in this report.\n");
  } else {
    absl::StrAppend(&out, "This report is INCOMPLETE: ", absl::StrJoin(gaps, "; "), ".\n");
  }
  return out;
}

}  // namespace sandpiper
