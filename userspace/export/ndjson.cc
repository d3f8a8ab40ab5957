#include "userspace/export/ndjson.h"

#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include "userspace/base/clock.h"

namespace sandpiper {
namespace {

using Writer = rapidjson::Writer<rapidjson::StringBuffer>;

void Write(Writer* json, const std::string& text) { json->String(text.data(), static_cast<rapidjson::SizeType>(text.size())); }
void Write(Writer* json, int64_t number) { json->Int64(number); }
void Write(Writer* json, double number) { json->Double(number); }
void Write(Writer* json, bool value) { json->Bool(value); }
void Write(Writer* json, const std::vector<std::string>& list) {
  json->StartArray();
  for (const std::string& item : list)
    Write(json, item);
  json->EndArray();
}

void Write(Writer* json, const std::vector<Rule>& rules) {
  json->StartArray();
  for (const Rule& rule : rules) {
    json->StartObject();
    json->Key("action");
    Write(json, rule.action);
    json->Key("target");
    Write(json, rule.target);
    json->EndObject();
  }
  json->EndArray();
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

std::string ToJson(const LogRecord& record) {
  rapidjson::StringBuffer buffer;
  Writer json(buffer);
  json.StartObject();
  json.Key("ts");
  Write(&json, FormatTime(record.time_unix_ns));
  json.Key("level");
  json.String(LevelName(record.severity));
  json.Key("msg");
  Write(&json, record.body);
  for (const Attribute& attribute : record.attributes) {
    const std::string_view key = attribute.key.view();
    json.Key(key.data(), static_cast<rapidjson::SizeType>(key.size()));
    std::visit([&](const auto& value) { Write(&json, value); }, attribute.value);
  }
  if (record.dropped_attributes > 0) {
    json.Key("dropped_attributes_count");
    json.Uint(record.dropped_attributes);
  }
  json.EndObject();
  return {buffer.GetString(), buffer.GetSize()};
}

}  // namespace sandpiper
