#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "userspace/base/text.h"
#include "userspace/command/report_data.h"

namespace sandpiper {
namespace {

constexpr size_t kAddressesShown = 3;
constexpr size_t kArgsShown = 100;  // bytes
constexpr size_t kWidthMax = 60;    // of a column, before it pushes the next ones out of line

// Rows of text, each column as wide as its widest cell.
class Table {
 public:
  explicit Table(std::vector<std::string> titles) { rows_.push_back(std::move(titles)); }

  void Add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  bool empty() const { return rows_.size() == 1; }

  std::string ToString() const {
    std::vector<size_t> widths(rows_[0].size());
    for (const auto& row : rows_) {
      for (size_t i = 0; i < row.size(); ++i)
        widths[i] = std::max(widths[i], std::min(row[i].size(), kWidthMax));
    }
    std::string out;
    for (const auto& row : rows_) {
      std::string line = " ";
      for (size_t i = 0; i < row.size(); ++i)
        absl::StrAppendFormat(&line, " %-*s", static_cast<int>(widths[i]), row[i]);
      line.erase(line.find_last_not_of(' ') + 1);
      absl::StrAppend(&out, line, "\n");
    }
    return out;
  }

 private:
  std::vector<std::vector<std::string>> rows_;
};

std::string Duration(uint64_t ns) {
  const double ms = static_cast<double>(ns) / 1e6;
  if (ns < 1'000'000)
    return absl::StrFormat("%d µs", ns / 1000);
  return ms < 1000 ? absl::StrFormat("%.1f ms", ms) : absl::StrFormat("%.2f s", ms / 1000);
}

std::string Bytes(uint64_t n) {
  const double bytes = static_cast<double>(n);
  if (n < 10'000)
    return absl::StrCat(n, " B");
  return n < 10'000'000 ? absl::StrFormat("%.1f kB", bytes / 1e3) : absl::StrFormat("%.1f MB", bytes / 1e6);
}

std::string List(const std::set<Address>& addresses) {
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

template <typename Outcome>
std::string Outcomes(const std::map<Outcome, uint64_t>& outcomes, uint64_t all) {
  std::vector<std::string> out;
  uint64_t decided = 0;
  for (const auto& [outcome, count] : outcomes) {
    decided += count;
    out.push_back(count == 1 && all == 1 ? Name(outcome) : absl::StrCat(count, " ", Name(outcome)));
  }
  if (decided < all)
    out.push_back(absl::StrCat(all - decided, " open"));
  return absl::StrJoin(out, ", ");
}

std::string Destinations(const Ledger& ledger, bool loopback) {
  Table table({"DESTINATION", "ADDRESS", "PORT", "ATTEMPTS", "OUTCOME", "SENT", "RECEIVED", "LATENCY"});
  for (const auto& [key, d] : ledger.destinations()) {
    if (d.loopback != loopback)
      continue;
    const std::string latency = d.total.established > 0 ? Duration(d.latency_sum_ns / d.total.established) : "-";
    table.Add({key.host.empty() ? "(no name)" : key.host, List(d.addresses), absl::StrCat(key.port, "/", Name(key.transport)),
               absl::StrCat(d.total.attempts), Outcomes(d.outcomes, d.total.attempts), Bytes(d.total.sent), Bytes(d.total.received),
               latency});
  }
  return table.empty() ? "" : absl::StrCat(loopback ? "\nWithin the host (loopback)\n" : "\nDestinations\n", table.ToString());
}

std::string Lookups(const Ledger& ledger) {
  Table table({"LOOKUP", "TYPE", "COUNT", "OUTCOME", "ANSWER", "SERVER", "SLOWEST"});
  for (const auto& [question, stats] : ledger.questions()) {
    const bool readable = !question.first.empty();
    table.Add({readable ? question.first : "(malformed)", readable ? DnsTypeName(question.second) : "-", absl::StrCat(stats.lookups),
               Outcomes(stats.outcomes, stats.lookups), List(stats.addresses), stats.server.ToString(), Duration(stats.latency_max_ns)});
  }
  return table.empty() ? "" : absl::StrCat("\nLookups\n", table.ToString());
}

std::string CommandLine(const Process& process) {
  std::vector<std::string> args;
  for (const std::string& arg : process.args)
    args.push_back(Escape(arg));
  std::string line = absl::StrJoin(args, " ");
  if (line.size() > kArgsShown) {
    size_t end = kArgsShown;
    while (end > 0 && (static_cast<uint8_t>(line[end]) & 0xc0) == 0x80)
      --end;
    line = line.substr(0, end) + "…";
  }
  return line.empty() ? Escape(process.comm) : line;
}

std::string Processes(const ProcessTable& processes) {
  const std::vector<const Process*> all = processes.All();
  std::multimap<ProcessKey, const Process*> children;
  std::set<ProcessKey> known;
  for (const Process* p : all)
    known.insert(p->key);
  for (const Process* p : all)
    children.emplace(known.contains(p->parent) && p->parent != p->key ? p->parent : ProcessKey{}, p);
  std::string out;
  const std::function<void(const ProcessKey&, int)> write = [&](const ProcessKey& parent, int depth) {
    const auto [first, last] = children.equal_range(parent);
    for (auto it = first; it != last; ++it) {
      const Process& p = *it->second;
      const std::string end =
          p.exited_ns ? absl::StrCat(StatusText(p.status), ", ", Duration(p.duration_ns())) : "left, or its exit was not seen";
      absl::StrAppendFormat(&out, "  %s%d %s  (%s)%s\n", std::string(static_cast<size_t>(depth) * 2, ' '), p.key.pid, CommandLine(p), end,
                            p.script.empty() ? "" : absl::StrCat("  script ", Escape(p.script)));
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
    absl::StrAppend(&out, rules.rules, " nftables rules on the way out, default ", rules.default_deny ? "deny" : "allow");
  else
    absl::StrAppend(&out, rules.state == RulesSummary::State::kNone ? "no nftables rules on the way out" : "could not be read");
  if (rules.changes > 0)
    absl::StrAppend(&out, "; changed ", Times(rules.changes));
  if (rules.changes_by_app > 0)
    absl::StrAppend(&out, "; ", Times(rules.changes_by_app), " BY THE SANDBOX ITSELF");
  if (rules.refused > 0)
    absl::StrAppend(&out, "; a change was refused ", Times(rules.refused));
  return out + ".\n";
}

}  // namespace

std::string TableReport(const ReportInput& input) {
  const SandboxPipeline& sandbox = input.sandbox;
  const SandboxTotals totals = sandbox.Totals();
  std::vector<std::string> command;
  for (const std::string& arg : input.command)
    command.push_back(Escape(arg));
  std::string out = absl::StrCat("\nsandpiper: ", absl::StrJoin(command, " "), ": ", StatusText(static_cast<uint32_t>(input.wait_status)),
                                 " after ", Duration(input.ended_ns - sandbox.started_ns()), "\n");
  absl::StrAppend(&out, Destinations(sandbox.ledger(), false), Lookups(sandbox.ledger()), Destinations(sandbox.ledger(), true),
                  Processes(sandbox.processes()));
  absl::StrAppend(&out, "\nTotals: ", totals.destinations, " destinations, ", totals.attempts, " connection attempts, ", totals.lookups,
                  " lookups, ", totals.denied, " denied, ", totals.execs, " programs started; ", Bytes(sandbox.counters().sent), " sent, ",
                  Bytes(sandbox.counters().received), " received on the network.\n");
  out += Rules(sandbox.rules());
  if (totals.ignored_answers > 0)
    absl::StrAppend(&out, totals.ignored_answers, " DNS answers came from the wrong address or to no question, and were ignored.\n");
  uint64_t produced = 0, delivered = 0;
  for (const EventAccount& account : Account(sandbox)) {
    produced += account.produced;
    delivered += account.delivered;
  }
  const std::vector<std::string> gaps = Gaps(input);
  if (gaps.empty()) {
    absl::StrAppend(&out, "Nothing was missed: the kernel counted ", produced, " events, and all ", delivered, " are in this report.\n");
  } else {
    absl::StrAppend(&out, "This report is INCOMPLETE: ", absl::StrJoin(gaps, "; "), ".\n");
  }
  return out;
}

}  // namespace sandpiper
