#include "userspace/export/batch.h"

#include <iterator>

namespace sandpiper {

std::string LogBatch::Encode(const std::vector<Attribute>& resource) const { return ToOtlp(records, resource).SerializeAsString(); }

std::pair<LogBatch, LogBatch> LogBatch::Halve() && {
  const auto middle = records.begin() + static_cast<ptrdiff_t>(records.size() / 2);
  LogBatch second = {.records = {std::make_move_iterator(middle), std::make_move_iterator(records.end())}};
  records.erase(middle, records.end());
  return {std::move(*this), std::move(second)};
}

std::string MetricBatch::Encode(const std::vector<Attribute>& resource) const {
  return ToOtlp(snapshot, resource, temporality).SerializeAsString();
}

std::pair<MetricBatch, MetricBatch> MetricBatch::Halve() && {
  const auto empty = [&] {
    return MetricBatch{.snapshot = {.time_unix_ns = snapshot.time_unix_ns, .sequence = snapshot.sequence, .families = {}},
                       .temporality = temporality};
  };
  std::pair<MetricBatch, MetricBatch> out = {empty(), empty()};
  size_t left = items() / 2;
  for (MetricFamily& family : snapshot.families) {
    for (MetricPoint& point : family.points) {
      MetricBatch& half = left > 0 ? out.first : out.second;
      left -= left > 0;
      half.snapshot.Add(*family.row, std::move(point));
    }
  }
  return out;
}

}  // namespace sandpiper
