// A log record as docs/events.md describes it, before any encoding.
#ifndef SANDPIPER_USERSPACE_AGGREGATE_LOG_RECORD_H_
#define SANDPIPER_USERSPACE_AGGREGATE_LOG_RECORD_H_

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "userspace/ruleset/ruleset.h"

namespace sandpiper {

using AttributeValue = std::variant<std::string, int64_t, double, bool, std::vector<std::string>, std::vector<Rule>>;

struct Attribute {
  std::string key;
  AttributeValue value;
};

// The values are OpenTelemetry's severity_number.
enum class Severity { kDebug = 5, kInfo = 9, kWarn = 13, kError = 17 };

struct LogRecord {
  uint64_t time_unix_ns = 0;      // of the kernel event
  uint64_t observed_unix_ns = 0;  // when we made the record
  Severity severity = Severity::kInfo;
  std::string event;                  // value of opensandbox.event, and event_name
  std::string body;                   // short, for people; names the destination
  std::vector<Attribute> attributes;  // all text in them is valid UTF-8
  uint32_t dropped_attributes = 0;    // that there was no room for
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_AGGREGATE_LOG_RECORD_H_
