// SPDX-License-Identifier: Apache-2.0
// A session context that keeps all records, for the tests of the parts of a session.
#ifndef SANDPIPER_TESTS_UNIT_SESSION_FIXTURE_H_
#define SANDPIPER_TESTS_UNIT_SESSION_FIXTURE_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "userspace/base/clock.h"
#include "userspace/session/session_context.h"

namespace sandpiper::testing {

inline Endpoint At(const uint8_t (&octets)[4], uint16_t port) {
  return {Address::FromIpv4(octets), port};
}

inline const Endpoint kDnsServer = At({192, 0, 2, 53}, 53);
inline const Endpoint kWeb = At({192, 0, 2, 9}, 443);
inline const Endpoint kOther = At({198, 51, 100, 1}, 443);
inline const Endpoint kLoopback = At({127, 0, 0, 1}, 80);

// The value of an attribute as text, and of a list as texts with spaces between them. Empty if the
// record does not have it.
inline std::string Get(const LogRecord& record, const std::string& key) {
  for (const Attribute& attribute : record.attributes) {
    if (attribute.key != key)
      continue;
    if (const auto* text = std::get_if<SharedText>(&attribute.value))
      return std::string(text->view());
    if (const auto* number = std::get_if<int64_t>(&attribute.value))
      return std::to_string(*number);
    if (const auto* texts = std::get_if<std::vector<std::string>>(&attribute.value)) {
      std::string joined;
      for (const std::string& one : *texts)
        joined += (joined.empty() ? "" : " ") + one;
      return joined;
    }
    if (const auto* flag = std::get_if<bool>(&attribute.value))
      return *flag ? "true" : "false";
  }
  return "";
}

// The values of a metric by one attribute.
inline std::map<std::string, int64_t> ValuesBy(const MetricSnapshot& snapshot, const MetricRow& row,
                                               const std::string& key) {
  std::map<std::string, int64_t> out;
  for (const MetricFamily& family : snapshot.families) {
    if (family.row != &row)
      continue;
    for (const MetricPoint& point : family.points) {
      for (const Attribute& attribute : point.attributes) {
        if (attribute.key == key)
          out[std::string(std::get<SharedText>(attribute.value).view())] +=
              std::get<int64_t>(point.value);
      }
    }
  }
  return out;
}

// The sum of a counter, or how many values a histogram has.
inline int64_t Total(const MetricSnapshot& snapshot, const MetricRow& row) {
  int64_t total = 0;
  for (const MetricFamily& family : snapshot.families) {
    if (family.row != &row)
      continue;
    for (const MetricPoint& point : family.points) {
      if (const auto* histogram = std::get_if<Histogram>(&point.value))
        total += static_cast<int64_t>(histogram->count());
      else
        total += std::get<int64_t>(point.value);
    }
  }
  return total;
}

// The records that a sink received.
class ReceivedRecords {
 public:
  RecordSink Sink() {
    return [this](LogRecord record) { all_.push_back(std::move(record)); };
  }
  const std::vector<LogRecord>& all() const { return all_; }
  std::vector<LogRecord> Of(const std::string& event) const {
    std::vector<LogRecord> out;
    for (const LogRecord& record : all_) {
      if (record.event == event)
        out.push_back(record);
    }
    return out;
  }
  std::vector<std::string> Events() const {
    std::vector<std::string> out;
    for (const LogRecord& record : all_)
      out.emplace_back(record.event.view());
    return out;
  }

 private:
  std::vector<LogRecord> all_;
};

class SessionPartTest : public ::testing::Test {
 protected:
  MetricSnapshot Metrics() const {
    MetricSnapshot snapshot;
    context_.metrics.Append({}, {}, {}, {}, 0, &snapshot);
    return snapshot;
  }

  ReceivedRecords records_;
  uint64_t now_ = 1000 * kSecond;
  SessionContext context_{.emitter = RecordEmitter({{"sandbox_id", "sb"}}, Severity::kDebug,
                                                   std::nullopt, records_.Sink()),
                          .metrics = SandboxMetrics(HistogramKind::kExplicit),
                          .processes = ProcessTable(100),
                          .names = NameCache(100)};
};

}  // namespace sandpiper::testing

#endif  // SANDPIPER_TESTS_UNIT_SESSION_FIXTURE_H_
