// SPDX-License-Identifier: Apache-2.0
// Requests of OTLP logs by the classes that protoc generates: what EncodeLogs is compared with.
#ifndef SANDPIPER_TESTS_UNIT_GENERATED_LOGS_H_
#define SANDPIPER_TESTS_UNIT_GENERATED_LOGS_H_

#include <span>
#include <string>
#include <vector>

#include "opentelemetry/proto/collector/logs/v1/logs_service.pb.h"
#include "userspace/aggregate/log_record.h"
#include "userspace/base/version.h"

namespace sandpiper {

using OtlpLogs = opentelemetry::proto::collector::logs::v1::ExportLogsServiceRequest;
using OtlpValue = opentelemetry::proto::common::v1::AnyValue;

inline void SetValue(const std::string& text, OtlpValue* out) { out->set_string_value(text); }
inline void SetValue(int64_t number, OtlpValue* out) { out->set_int_value(number); }
inline void SetValue(const SharedText& text, OtlpValue* out) {
  out->set_string_value(std::string(text.view()));
}
inline void SetValue(double number, OtlpValue* out) { out->set_double_value(number); }
inline void SetValue(bool value, OtlpValue* out) { out->set_bool_value(value); }
inline void SetValue(const std::vector<std::string>& list, OtlpValue* out) {
  auto* array = out->mutable_array_value();
  for (const std::string& item : list)
    array->add_values()->set_string_value(item);
}
inline void SetValue(const std::vector<Rule>& rules, OtlpValue* out) {
  auto* array = out->mutable_array_value();
  for (const Rule& rule : rules) {
    auto* map = array->add_values()->mutable_kvlist_value();
    auto* action = map->add_values();
    action->set_key("action");
    action->mutable_value()->set_string_value(rule.action);
    auto* target = map->add_values();
    target->set_key("target");
    target->mutable_value()->set_string_value(rule.target);
  }
}

template <typename List, typename Message>
void SetAttributes(const List& attributes, Message* out) {
  for (const Attribute& attribute : attributes) {
    auto* pair = out->add_attributes();
    pair->set_key(std::string(attribute.key.view()));
    std::visit([&](const auto& value) { SetValue(value, pair->mutable_value()); }, attribute.value);
  }
}

inline void FillLogs(std::span<const SharedRecord> records, const std::vector<Attribute>& resource,
                     OtlpLogs* request) {
  auto* resource_logs = request->add_resource_logs();
  SetAttributes(resource, resource_logs->mutable_resource());
  auto* scope_logs = resource_logs->add_scope_logs();
  scope_logs->mutable_scope()->set_name("sandpiper");
  scope_logs->mutable_scope()->set_version(kVersion);
  for (const SharedRecord& record : records) {
    auto* out = scope_logs->add_log_records();
    out->set_time_unix_nano(record->time_unix_ns);
    out->set_observed_time_unix_nano(record->observed_unix_ns);
    out->set_severity_number(
        static_cast<opentelemetry::proto::logs::v1::SeverityNumber>(record->severity));
    switch (record->severity) {
      case Severity::kDebug:
        out->set_severity_text("DEBUG");
        break;
      case Severity::kInfo:
        out->set_severity_text("INFO");
        break;
      case Severity::kWarn:
        out->set_severity_text("WARN");
        break;
      case Severity::kError:
        out->set_severity_text("ERROR");
        break;
    }
    out->set_event_name(std::string(record->event.view()));
    out->set_dropped_attributes_count(record->dropped_attributes);
    out->mutable_body()->set_string_value(record->body);
    SetAttributes(record->attributes, out);
  }
}

}  // namespace sandpiper

#endif  // SANDPIPER_TESTS_UNIT_GENERATED_LOGS_H_
