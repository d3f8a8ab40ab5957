// SPDX-License-Identifier: Apache-2.0
// Collects the metrics for one exporter (OpenTelemetry specification, metrics/sdk.md,
// MetricReader). It bounds the number of series. It keeps the last values of ended sandboxes until
// they were exported, and then marks their series as ended. Used by the event loop's thread only.
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
    // Series for each metric. All further ones are summed up in the last one, which has the
    // attribute otel.metric.overflow=true.
    size_t series_max = 2'000;
    // False: points have no sandbox_id, and the values of all sandboxes are summed up by their
    // other attributes.
    bool by_sandbox = true;
    uint64_t start_unix_ns = 0;         // start of the sums
    std::vector<Attribute> extra = {};  // added to every point that belongs to no sandbox
  };
  explicit MetricReader(const Options& options) : options_(options) {}

  // One collection is Begin, Add for each running sandbox, AddHost for all other points, Finish.
  // `sandbox` is the sandbox's serial number, which is never used again.
  void Begin(uint64_t time_unix_ns);
  void Add(uint64_t sandbox, MetricSnapshot points);
  void AddHost(MetricSnapshot points);
  // The time of a snapshot is never before that of the last one, even if the clock is set back.
  MetricSnapshot Finish();

  // The sandbox ended at `time_unix_ns` with these values. It will not be added again.
  void OnSandboxEnd(uint64_t sandbox, MetricSnapshot last, uint64_t time_unix_ns);
  // The exporter has sent or dropped all snapshots up to this sequence number.
  void OnExported(uint64_t sequence) { exported_ = sequence; }

 private:
  // A sum over sandboxes: those that ended and those that run.
  struct Sum {
    std::vector<Attribute> attributes;
    std::optional<MetricPoint> ended, living;
  };
  struct Series {
    // By sandbox and attributes. True: a series of its own; false: part of the overflow.
    std::map<uint64_t, absl::flat_hash_map<std::string, bool>> known;
    size_t own = 0;
    std::map<std::string, Sum> sums;
  };
  struct Ended {
    uint64_t sandbox;
    MetricSnapshot last;
    uint64_t first_sent = 0, stale_sent = 0;  // sequence numbers; 0: not yet
  };

  // True if the series is exported on its own, which a new one is if there is room. This never
  // changes for a series: otherwise its values would be counted twice.
  bool Admit(const MetricRow& row, uint64_t sandbox, const std::string& series);
  Sum& SumOf(const MetricRow& row, const std::vector<Attribute>& attributes);
  static void AddTo(std::optional<MetricPoint>* sum, const MetricPoint& point);
  // True once its last values were exported.
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
  absl::flat_hash_set<std::string> in_use_;  // metric and attributes of the points in next_
  uint64_t sequence_ = 0, exported_ = 0, last_unix_ns_ = 0;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_AGGREGATE_METRIC_READER_H_
