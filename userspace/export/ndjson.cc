// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/ndjson.h"

#include "userspace/base/clock.h"
#include "userspace/export/json_writer.h"

namespace sandpiper {
namespace {

template <typename Scalar>
void Write(const Scalar& value, JsonWriter* json) {
  json->Value(value);
}

void Write(const Rule& rule, JsonWriter* json) {
  json->Put(R"({"action":)");
  json->Value(rule.action);
  json->Put(R"(,"target":)");
  json->Value(rule.target);
  json->Put('}');
}

template <typename Item>
void Write(const std::vector<Item>& list, JsonWriter* json) {
  json->Put('[');
  for (size_t i = 0; i < list.size(); ++i) {
    if (i > 0)
      json->Put(',');
    Write(list[i], json);
  }
  json->Put(']');
}

}  // namespace

const char* LevelName(Severity severity) {
  switch (severity) {
    case Severity::kDebug:
      return "debug";
    case Severity::kInfo:
      return "info";
    case Severity::kWarn:
      return "warn";
    case Severity::kError:
      return "error";
  }
  return "info";
}

void AppendJson(const LogRecord& record, JsonWriter* json) {
  json->Put(R"({"ts":")");
  const auto time = FormatTime(record.time_unix_ns);
  json->Put(std::string_view(time.data(), time.size()));
  json->Put(R"(","level":")");
  json->Put(LevelName(record.severity));
  json->Put(R"(","msg":)");
  json->Value(record.body);
  for (const Attribute& attribute : record.attributes) {
    json->NextKey(attribute.key);
    std::visit([&](const auto& value) { Write(value, json); }, attribute.value);
  }
  if (record.dropped_attributes > 0) {
    json->Put(R"(,"dropped_attributes_count":)");
    json->Value(int64_t{record.dropped_attributes});
  }
  json->Put('}');
}

std::string ToJson(const LogRecord& record) {
  JsonWriter json(kLineBytes);
  AppendJson(record, &json);
  return std::string(json.view());
}

}  // namespace sandpiper
