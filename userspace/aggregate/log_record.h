// SPDX-License-Identifier: Apache-2.0
// A log record as docs/events.md describes it, before any encoding.
#ifndef SANDPIPER_USERSPACE_AGGREGATE_LOG_RECORD_H_
#define SANDPIPER_USERSPACE_AGGREGATE_LOG_RECORD_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "userspace/base/shared_text.h"
#include "userspace/ruleset/ruleset.h"

namespace sandpiper {

using AttributeValue =
    std::variant<SharedText, int64_t, double, bool, std::vector<std::string>, std::vector<Rule>>;

struct Attribute {
  template <typename Value>
  Attribute(SharedText k, Value&& v) : key(std::move(k)), value(std::forward<Value>(v)) {}

  SharedText key;
  AttributeValue value;
};

// The values are OpenTelemetry's severity_number.
enum class Severity { kDebug = 5, kInfo = 9, kWarn = 13, kError = 17 };

struct LogRecord {
  uint64_t time_unix_ns = 0;      // of the kernel event
  uint64_t observed_unix_ns = 0;  // when we made the record
  Severity severity = Severity::kInfo;
  SharedText event;                   // value of opensandbox.event, and event_name
  std::string body;                   // short, for people; names the destination
  std::vector<Attribute> attributes;  // all text in them is valid UTF-8
  uint32_t dropped_attributes = 0;    // that there was no room for
};

// As it leaves: several may hold it, and none changes it.
using SharedRecord = std::shared_ptr<const LogRecord>;

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_AGGREGATE_LOG_RECORD_H_
