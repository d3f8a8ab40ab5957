// SPDX-License-Identifier: Apache-2.0
// What one exporter gets to see of the metrics (OpenTelemetry specification, metrics/sdk.md,
// MetricReader): a bounded number of series, and of sandboxes that ended, their last values until
// the exporter has them, then the end of each series.
#ifndef SANDPIPER_USERSPACE_AGGREGATE_METRIC_READER_H_
#define SANDPIPER_USERSPACE_AGGREGATE_METRIC_READER_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "userspace/aggregate/metrics.h"

namespace sandpiper {

class MetricReader {
 public:
  struct Options {
    // Series a metric; the last of them is what all beyond are summed up in,
    // otel.metric.overflow=true.
    size_t series_max = 2'000;
    // Off: sandbox_id is left out, and the values of all sandboxes are summed up by what else their
    // points carry.
    bool by_sandbox = true;
    uint64_t start_unix_ns = 0;         // of the sums
    std::vector<Attribute> extra = {};  // on every point that is of no sandbox
  };
  explicit MetricReader(const Options& options) : options_(options) {}

  // One collection: Begin, each sandbox that lives, what is of none, Finish. `sandbox` is its
  // number, never used again.
  void Begin(uint64_t time_unix_ns);
  void Add(uint64_t sandbox, MetricSnapshot points);
  void AddHost(MetricSnapshot points);
  // Time never goes back from one snapshot to the next, whatever the clock does.
  MetricSnapshot Finish();

  // The sandbox will not be added again; these are its last values, as of `time_unix_ns`.
  void OnSandboxEnd(uint64_t sandbox, MetricSnapshot last, uint64_t time_unix_ns);
  // The exporter is done with the snapshot of this number, and with those before: they arrived, or
  // never will.
  void OnExported(uint64_t sequence) { exported_ = sequence; }

 private:
  // A sum over sandboxes. `ended`: of those that are no more.
  struct Sum {
    std::vector<Attribute> attributes;
    std::optional<MetricPoint> ended, living;
  };
  struct Series {
    std::map<uint64_t, absl::flat_hash_map<std::string, bool>>
        known;  // by sandbox and attributes; true: on its own
    size_t own = 0;
    std::map<std::string, Sum> sums;
  };
  struct Ended {
    uint64_t sandbox;
    MetricSnapshot last;
    uint64_t first_sent = 0, stale_sent = 0;  // sequences; 0: not yet
  };

  // True if the series is its own; a new one is if there is room. It stays what it is, lest
  // anything be told twice.
  bool Admit(const MetricRow& row, uint64_t sandbox, const std::string& series);
  Sum& SumOf(const MetricRow& row, const std::vector<Attribute>& attributes);
  static void AddTo(std::optional<MetricPoint>* sum, const MetricPoint& point);
  // Its last values have arrived.
  bool IsStale(const Ended& ended) const {
    return ended.first_sent != 0 && ended.first_sent <= exported_;
  }
  void AppendEnded(MetricSnapshot* out);
  void AppendSums();
  void Forget(uint64_t sandbox);

  Options options_;
  std::map<const MetricRow*, Series> series_;
  std::deque<Ended> ended_;
  MetricSnapshot next_;
  absl::flat_hash_set<std::string> in_use_;  // metric and attributes of what is in next_
  uint64_t sequence_ = 0, exported_ = 0, last_unix_ns_ = 0;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_AGGREGATE_METRIC_READER_H_
