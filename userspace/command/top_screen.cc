// SPDX-License-Identifier: Apache-2.0
#include "userspace/command/top_screen.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "userspace/base/clock.h"
#include "userspace/command/text_table.h"

namespace sandpiper {
namespace {

struct Rates {
  double lookups = 0, attempts = 0, denied = 0, execs = 0;

  double sum() const { return lookups + attempts + denied + execs; }
  Rates& operator+=(const Rates& o) {
    lookups += o.lookups;
    attempts += o.attempts;
    denied += o.denied;
    execs += o.execs;
    return *this;
  }
};

struct Row {
  const v1::Sandbox* sandbox;
  Rates rates;
};

Rates RatesOf(const v1::Sandbox* before, const v1::Sandbox& now, double seconds) {
  static const v1::Sandbox none;
  if (!before)
    before = &none;
  const auto rate = [&](uint64_t from, uint64_t to) {
    return to > from ? static_cast<double>(to - from) / seconds : 0;
  };
  return {.lookups = rate(before->lookups(), now.lookups()),
          .attempts = rate(before->attempts(), now.attempts()),
          .denied = rate(before->denied(), now.denied()),
          .execs = rate(before->execs(), now.execs())};
}

std::string Rate(double r) {
  if (r == 0)
    return "0";
  return r < 10 ? absl::StrFormat("%.1f", r) : absl::StrFormat("%.0f", r);
}

std::string DestinationLine(const v1::Destination& d) {
  std::string out = absl::StrCat("  ", d.target(), "  ", d.attempts(),
                                 d.attempts() == 1 ? " attempt" : " attempts");
  for (const auto& [count, what] : {std::pair{d.denied(), " denied"}, {d.failed(), " failed"}}) {
    if (count > 0)
      absl::StrAppend(&out, ", ", count, what);
  }
  return absl::StrCat(out, ", ", BytesText(d.sent()), " sent, ", BytesText(d.received()),
                      " received");
}

}  // namespace

std::vector<std::string> TopScreen(const v1::ListSandboxesResponse& before,
                                   const v1::ListSandboxesResponse& now, const TopView& view) {
  // A sandbox that ended and started again between the responses counts from 0. If its new sum is
  // not smaller than the old one, this cannot be detected.
  std::map<std::string, const v1::Sandbox*> earlier;
  for (const v1::Sandbox& sandbox : before.sandboxes())
    earlier[sandbox.id()] = &sandbox;
  std::vector<Row> rows;
  Rates all;
  uint64_t dropped = 0;
  for (const v1::Sandbox& sandbox : now.sandboxes()) {
    const auto found = earlier.find(sandbox.id());
    rows.push_back({&sandbox, RatesOf(found == earlier.end() ? nullptr : found->second, sandbox,
                                      view.seconds)});
    all += rows.back().rates;
    dropped += sandbox.dropped();
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Row& a, const Row& b) { return a.rates.sum() > b.rates.sum(); });
  std::vector<std::string> out = {
      absl::StrCat(rows.size(), rows.size() == 1 ? " sandbox" : " sandboxes",
                   "; per second: ", Rate(all.lookups), " lookups, ", Rate(all.attempts),
                   " connects, ", Rate(all.denied), " denied, ", Rate(all.execs), " execs; ",
                   dropped, " events dropped"),
      ""};
  TextTable table({"SANDBOX", "RUNTIME", "AGE", "LOOKUPS/s", "CONNECTS/s", "DENIED/s", "EXECS/s",
                   "DENIED", "HOSTS", "DROPPED"},
                  3);
  for (const auto& [sandbox, rates] : rows) {
    table.Add({Fit(sandbox->id(), 40), sandbox->runtime(),
               AgeText(sandbox->started_unix_ns(), view.now_unix_ns), Rate(rates.lookups),
               Rate(rates.attempts), Rate(rates.denied), Rate(rates.execs),
               absl::StrCat(sandbox->denied()), absl::StrCat(sandbox->destinations()),
               absl::StrCat(sandbox->dropped())});
  }
  const std::vector<std::string> lines = table.Lines();
  out.push_back(lines[0]);
  for (size_t i = 0; i < rows.size(); ++i) {
    out.push_back(lines[i + 1]);
    for (const v1::Destination& destination : rows[i].sandbox->top_destinations())
      out.push_back(DestinationLine(destination));
  }
  if (out.size() > view.rows) {
    const size_t hidden = out.size() - view.rows + 1;
    out.resize(view.rows - 1);
    out.push_back(absl::StrCat("… ", hidden, " more lines"));
  }
  for (std::string& line : out)
    line = Fit(line, view.columns);
  return out;
}

}  // namespace sandpiper
