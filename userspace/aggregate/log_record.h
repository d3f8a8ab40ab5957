// A log record as docs/events.md describes it, before any encoding.
#ifndef SANDPIPER_USERSPACE_AGGREGATE_LOG_RECORD_H_
#define SANDPIPER_USERSPACE_AGGREGATE_LOG_RECORD_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "userspace/ruleset/ruleset.h"

namespace sandpiper {

using AttributeValue = std::variant<std::string, int64_t, double, bool, std::vector<std::string>, std::vector<Rule>>;

// The name of an attribute. Nearly all of them stand in the code and are not copied; those of a configuration are shared by all records.
class AttributeKey {
 public:
  // Literals only: the text stays where it is.
  template <size_t N>
  AttributeKey(const char (&literal)[N])  // NOLINT(google-explicit-constructor)
      : text_(literal, N - 1) {}
  explicit AttributeKey(std::string made) : made_(std::make_shared<const std::string>(std::move(made))), text_(*made_) {}

  std::string_view view() const { return text_; }
  size_t size() const { return text_.size(); }
  bool operator==(std::string_view other) const { return text_ == other; }

 private:
  std::shared_ptr<const std::string> made_;  // null: a literal
  std::string_view text_;
};

struct Attribute {
  AttributeKey key;
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

// As it leaves: several may hold it, and none changes it.
using SharedRecord = std::shared_ptr<const LogRecord>;

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_AGGREGATE_LOG_RECORD_H_
