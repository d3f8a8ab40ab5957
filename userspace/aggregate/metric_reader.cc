// SPDX-License-Identifier: Apache-2.0
#include "userspace/aggregate/metric_reader.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace sandpiper {
namespace {

bool IsSandboxId(const Attribute& attribute) { return attribute.key == "sandbox_id"; }

std::string InMetric(const MetricRow& row, const std::string& series) {
  return absl::StrCat(row.name, "/", series);
}

void AddAll(MetricSnapshot from, MetricSnapshot* to) {
  for (MetricFamily& family : from.families) {
    for (MetricPoint& point : family.points)
      to->Add(*family.row, std::move(point));
  }
}

}  // namespace

bool MetricReader::Admit(const MetricRow& row, uint64_t sandbox, const std::string& key) {
  if (!options_.by_sandbox)
    return false;
  Series& series = series_[&row];
  const auto [it, added] =
      series.known[sandbox].try_emplace(key, series.own + 1 < options_.series_max);
  series.own += added && it->second;
  return it->second;
}

MetricReader::Sum& MetricReader::SumOf(const MetricRow& row,
                                       const std::vector<Attribute>& attributes) {
  std::vector<Attribute> kept;
  if (options_.by_sandbox)
    kept.push_back({"otel.metric.overflow", true});
  else
    std::remove_copy_if(attributes.begin(), attributes.end(), std::back_inserter(kept),
                        IsSandboxId);
  Sum& sum = series_[&row].sums[SeriesKey(kept)];
  sum.attributes = std::move(kept);
  return sum;
}

void MetricReader::AddTo(std::optional<MetricPoint>* sum, const MetricPoint& point) {
  if (!*sum) {
    *sum = point;
    return;
  }
  std::visit(
      [&](auto& value) {
        using Value = std::decay_t<decltype(value)>;
        value += std::get<Value>(point.value);
      },
      (*sum)->value);
}

void MetricReader::Begin(uint64_t time_unix_ns) {
  last_unix_ns_ = std::max(time_unix_ns, last_unix_ns_ + 1);
  next_ = {.time_unix_ns = last_unix_ns_, .sequence = ++sequence_, .families = {}};
  in_use_.clear();
  for (auto& [row, series] : series_) {
    for (auto& [key, sum] : series.sums)
      sum.living.reset();
  }
}

void MetricReader::Add(uint64_t sandbox, MetricSnapshot points) {
  for (MetricFamily& family : points.families) {
    for (MetricPoint& point : family.points) {
      const std::string series = SeriesKey(point.attributes);
      if (Admit(*family.row, sandbox, series)) {
        in_use_.insert(InMetric(*family.row, series));
        next_.Add(*family.row, std::move(point));
      } else {
        AddTo(&SumOf(*family.row, point.attributes).living, point);
      }
    }
  }
}

void MetricReader::AddHost(MetricSnapshot points) {
  for (MetricFamily& family : points.families) {
    for (MetricPoint& point : family.points)
      point.attributes.insert(point.attributes.end(), options_.extra.begin(), options_.extra.end());
  }
  AddAll(std::move(points), &next_);
}

void MetricReader::OnSandboxEnd(uint64_t sandbox, MetricSnapshot last, uint64_t time_unix_ns) {
  last_unix_ns_ = std::max(time_unix_ns, last_unix_ns_ + 1);
  for (MetricFamily& family : last.families) {
    std::erase_if(family.points, [&](MetricPoint& point) {
      point.time_unix_ns = last_unix_ns_;
      if (Admit(*family.row, sandbox, SeriesKey(point.attributes)))
        return false;
      // The value of a gauge ends with the sandbox.
      if (family.row->kind == MetricKind::kCounter || family.row->kind == MetricKind::kHistogram)
        AddTo(&SumOf(*family.row, point.attributes).ended, point);
      return true;
    });
  }
  if (last.points() > 0)
    ended_.push_back({.sandbox = sandbox, .last = std::move(last)});
  else
    Forget(sandbox);
}

void MetricReader::Forget(uint64_t sandbox) {
  for (auto& [row, series] : series_) {
    const auto known = series.known.find(sandbox);
    if (known == series.known.end())
      continue;
    series.own -= static_cast<size_t>(std::count_if(known->second.begin(), known->second.end(),
                                                    [](const auto& k) { return k.second; }));
    series.known.erase(known);
  }
}

void MetricReader::AppendEnded(MetricSnapshot* out) {
  std::erase_if(ended_, [&](const Ended& ended) {
    const bool done = ended.stale_sent != 0 && ended.stale_sent <= exported_;
    if (done)
      Forget(ended.sandbox);
    return done;
  });
  for (Ended& ended : ended_) {
    if (IsStale(ended))
      continue;
    if (ended.first_sent == 0)
      ended.first_sent = sequence_;
    AddAll(ended.last, out);
  }
  // Several sandboxes may have had the same attributes. Their series continues with a new start
  // time, so that it ends only with the last of them.
  for (auto ended = ended_.rbegin(); ended != ended_.rend(); ++ended) {
    const bool stale = IsStale(*ended);
    if (stale && ended->stale_sent == 0)
      ended->stale_sent = sequence_;
    for (const MetricFamily& family : ended->last.families) {
      for (const MetricPoint& last : family.points) {
        if (!in_use_.insert(InMetric(*family.row, SeriesKey(last.attributes))).second || !stale)
          continue;
        MetricPoint point = last;
        point.stale = true;
        point.time_unix_ns = 0;
        out->Add(*family.row, std::move(point));
      }
    }
  }
}

void MetricReader::AppendSums() {
  for (auto& [row, series] : series_) {
    for (auto& [key, sum] : series.sums) {
      std::optional<MetricPoint> point = sum.ended;
      if (sum.living)
        AddTo(&point, *sum.living);
      if (!point)
        continue;
      point->attributes = sum.attributes;
      point->start_unix_ns = options_.start_unix_ns;
      point->time_unix_ns = 0;
      next_.Add(*row, *std::move(point));
    }
  }
}

MetricSnapshot MetricReader::Finish() {
  AppendSums();
  MetricSnapshot out = {
      .time_unix_ns = next_.time_unix_ns, .sequence = next_.sequence, .families = {}};
  // Ended sandboxes come first: a new sandbox may have the same attributes, and receivers want the
  // points of a series in the order of time.
  AppendEnded(&out);
  AddAll(std::exchange(next_, {}), &out);
  return out;
}

}  // namespace sandpiper
