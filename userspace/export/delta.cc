// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/delta.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace sandpiper {
namespace {

bool IsCumulative(const MetricRow& row) {
  return row.kind == MetricKind::kCounter || row.kind == MetricKind::kHistogram;
}

bool IsZero(int64_t value) { return value == 0; }
bool IsZero(double value) { return value == 0; }
bool IsZero(const Histogram& value) { return value.count() == 0; }

}  // namespace

// Includes the start: a restarted sandbox may have the same attributes.
std::string DeltaState::Key(const MetricPoint& point) {
  return absl::StrCat(point.start_unix_ns, "/", SeriesKey(point.attributes));
}

MetricSnapshot DeltaState::Since(const MetricSnapshot& now) const {
  MetricSnapshot out = {.time_unix_ns = now.time_unix_ns, .sequence = now.sequence, .families = {}};
  for (const MetricFamily& family : now.families) {
    const auto before = last_.find(family.row);
    for (const MetricPoint& point : family.points) {
      if (point.stale)
        continue;
      if (!IsCumulative(*family.row)) {
        out.Add(*family.row, point);
        continue;
      }
      MetricPoint delta = point;
      const MetricPoint* known = nullptr;
      if (before != last_.end()) {
        if (const auto it = before->second.find(Key(point)); it != before->second.end())
          known = &it->second;
      }
      if (known) {
        delta.start_unix_ns = known->time_unix_ns;
        std::visit(
            [&](auto& value) {
              value = value - std::get<std::decay_t<decltype(value)>>(known->value);
            },
            delta.value);
      }
      if (!std::visit([](const auto& value) { return IsZero(value); }, delta.value))
        out.Add(*family.row, std::move(delta));
    }
  }
  return out;
}

void DeltaState::Commit(const MetricSnapshot& now) {
  last_.clear();
  for (const MetricFamily& family : now.families) {
    if (!IsCumulative(*family.row))
      continue;
    for (const MetricPoint& point : family.points) {
      if (point.stale)
        continue;
      MetricPoint& kept = last_[family.row][Key(point)] = point;
      if (kept.time_unix_ns == 0)
        kept.time_unix_ns = now.time_unix_ns;
    }
  }
}

}  // namespace sandpiper
