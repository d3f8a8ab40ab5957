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

#include "userspace/aggregate/attribute_key.h"
#include "userspace/base/shared_text.h"
#include "userspace/ruleset/ruleset.h"

namespace sandpiper {

using AttributeValue =
    std::variant<SharedText, int64_t, double, bool, std::vector<std::string>, std::vector<Rule>>;

// A key and a value of anything that is exported: a metric's point, the resource, a log record.
struct Attribute {
  template <typename Value>
  Attribute(SharedText k, Value&& v) : key(std::move(k)), value(std::forward<Value>(v)) {}

  SharedText key;
  AttributeValue value;
};

// An attribute of a log record. Its key is in the catalogue of events, or it is marked as the
// user's.
struct RecordAttribute : Attribute {
  // Compiles only if the catalogue has `key` with the type of `value`.
  template <typename Value>
  RecordAttribute(AttributeKey<TypeOf<Value>()> key, Value&& value)
      : Attribute(key.text(), std::forward<Value>(value)), sensitivity(key.sensitivity()) {}
  // A member of a family of the catalogue: ("sandpiper.dropped.*", "ring_full.exec", 3).
  RecordAttribute(AttributeFamily family, std::string_view last_part, int64_t value)
      : Attribute(SharedText(std::string(family.prefix()).append(last_part)), value) {}
  // For keys that are known at run time only: those that the user configures, and those of a
  // capture. An attribute with a key of the catalogue is as sensitive as there.
  explicit RecordAttribute(Attribute external)
      : Attribute(std::move(external)), sensitivity(SensitivityOf(key)) {}

  Sensitivity sensitivity = Sensitivity::kNone;
};

struct LogRecord {
  template <typename Value>
  void Add(AttributeKey<TypeOf<Value>()> key, Value&& value) {
    attributes.emplace_back(key, std::forward<Value>(value));
  }

  uint64_t time_unix_ns = 0;      // when the kernel event happened
  uint64_t observed_unix_ns = 0;  // when sandpiper made the record
  Severity severity = Severity::kInfo;
  SharedText event;                         // the attribute opensandbox.event; event_name in OTLP
  std::string body;                         // one line for people; names the destination
  std::vector<RecordAttribute> attributes;  // all text in them is valid UTF-8
  uint32_t dropped_attributes = 0;          // attributes that were dropped by RecordLimits
};

// A finished record. It is shared by all outputs and does not change any more.
using SharedRecord = std::shared_ptr<const LogRecord>;

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_AGGREGATE_LOG_RECORD_H_
