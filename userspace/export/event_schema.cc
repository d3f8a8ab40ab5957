// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/event_schema.h"

#include <rapidjson/prettywriter.h>
#include <rapidjson/stringbuffer.h>

#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "userspace/aggregate/event_catalog.h"
#include "userspace/export/ndjson.h"

namespace sandpiper {
namespace {

using Json = rapidjson::PrettyWriter<rapidjson::StringBuffer>;

void Put(Json* json, const char* key, const char* value) {
  json->Key(key);
  json->String(value);
}

template <typename Fill>
void PutObject(Json* json, const char* key, const Fill& fill) {
  json->Key(key);
  json->StartObject();
  fill();
  json->EndObject();
}

template <typename Fill>
void PutArray(Json* json, const char* key, const Fill& fill) {
  json->Key(key);
  json->StartArray();
  fill();
  json->EndArray();
}

void PutType(Json* json, AttributeType type) {
  switch (type) {
    case AttributeType::kText:
      return Put(json, "type", "string");
    case AttributeType::kInteger:
      return Put(json, "type", "integer");
    case AttributeType::kReal:
      return Put(json, "type", "number");
    case AttributeType::kFlag:
      return Put(json, "type", "boolean");
    case AttributeType::kTextList:
      Put(json, "type", "array");
      return PutObject(json, "items", [&] { Put(json, "type", "string"); });
    case AttributeType::kRuleList:
      Put(json, "type", "array");
      return PutObject(json, "items", [&] { Put(json, "$ref", "#/$defs/rule"); });
  }
}

void PutAttribute(Json* json, const AttributeRow& row) {
  PutObject(json, row.name, [&] {
    PutType(json, row.type);
    Put(json, "description", row.meaning);
    if (row.sensitivity != Sensitivity::kNone)
      Put(json, "x-sensitivity", row.sensitivity == Sensitivity::kHost ? "host" : "arguments");
  });
}

// "a.b.*" as a regular expression of its members.
std::string FamilyPattern(std::string_view name) {
  name.remove_suffix(1);
  return absl::StrCat("^", absl::StrReplaceAll(std::string(name), {{".", "\\."}}));
}

void PutProperties(Json* json) {
  PutObject(json, "properties", [&] {
    PutObject(json, "ts", [&] {
      Put(json, "type", "string");
      Put(json, "format", "date-time");
      Put(json, "description", "when the event happened, in UTC with nanoseconds");
    });
    PutObject(json, "level", [&] {
      PutArray(json, "enum", [&] {
        for (const Severity level :
             {Severity::kDebug, Severity::kInfo, Severity::kWarn, Severity::kError})
          json->String(LevelName(level));
      });
    });
    PutObject(json, "msg", [&] {
      Put(json, "type", "string");
      Put(json, "description", "the event in one line, for people");
    });
    PutObject(json, "dropped_attributes_count", [&] {
      Put(json, "type", "integer");
      Put(json, "description", "attributes that were dropped because the record was too large");
    });
    for (const AttributeRow& row : kEventAttributes) {
      if (!IsFamily(row.name))
        PutAttribute(json, row);
    }
  });
  PutObject(json, "patternProperties", [&] {
    for (const AttributeRow& row : kEventAttributes) {
      if (IsFamily(row.name))
        PutObject(json, FamilyPattern(row.name).c_str(), [&] {
          PutType(json, row.type);
          Put(json, "description", row.meaning);
        });
    }
  });
}

bool HasFamily(const EventRow& event) {
  for (const AttributeRow* row : AttributesOf(event)) {
    if (IsFamily(row->name))
      return true;
  }
  return false;
}

// What holds for the records of one event only.
void PutEvent(Json* json, const EventRow& event) {
  json->StartObject();
  PutObject(json, "if", [&] {
    PutObject(json, "properties", [&] {
      PutObject(json, "opensandbox.event", [&] { Put(json, "const", event.name); });
    });
  });
  PutObject(json, "then", [&] {
    Put(json, "description", absl::StrCat("one record for ", event.one_record_for).c_str());
    PutObject(json, "properties", [&] {
      PutObject(json, "level", [&] {
        PutArray(json, "enum", [&] {
          for (const Severity level : event.levels) {
            if (level != Severity{})
              json->String(LevelName(level));
          }
        });
      });
    });
    PutObject(json, "propertyNames", [&] {
      PutArray(json, "anyOf", [&] {
        json->StartObject();
        Put(json, "$ref", "#/$defs/outside_the_catalogue");
        json->EndObject();
        json->StartObject();
        PutArray(json, "enum", [&] {
          for (const AttributeRow* row : AttributesOf(event)) {
            if (!IsFamily(row->name))
              json->String(row->name);
          }
        });
        json->EndObject();
        for (const AttributeRow& row : kEventAttributes) {
          if (!IsFamily(row.name) || !HasFamily(event))
            continue;
          json->StartObject();
          Put(json, "pattern", FamilyPattern(row.name).c_str());
          json->EndObject();
        }
      });
    });
  });
  json->EndObject();
}

void PutDefinitions(Json* json) {
  PutObject(json, "$defs", [&] {
    PutObject(json, "rule", [&] {
      Put(json, "type", "object");
      PutArray(json, "required", [&] {
        json->String("action");
        json->String("target");
      });
      PutObject(json, "properties", [&] {
        PutObject(json, "action", [&] {
          PutArray(json, "enum", [&] {
            for (const char* action : {"allow", "deny", "other"})
              json->String(action);
          });
        });
        PutObject(json, "target", [&] { Put(json, "type", "string"); });
      });
      json->Key("additionalProperties");
      json->Bool(false);
    });
    PutObject(json, "outside_the_catalogue", [&] {
      Put(json, "description",
          "ts, level, msg, dropped_attributes_count and attributes of the user");
      PutObject(json, "not", [&] {
        PutArray(json, "anyOf", [&] {
          json->StartObject();
          PutArray(json, "enum", [&] {
            for (const AttributeRow& row : kEventAttributes) {
              if (!IsFamily(row.name))
                json->String(row.name);
            }
          });
          json->EndObject();
          for (const AttributeRow& row : kEventAttributes) {
            if (!IsFamily(row.name))
              continue;
            json->StartObject();
            Put(json, "pattern", FamilyPattern(row.name).c_str());
            json->EndObject();
          }
        });
      });
    });
  });
}

}  // namespace

std::string EventSchema() {
  rapidjson::StringBuffer buffer;
  Json json(buffer);
  json.SetIndent(' ', 1);
  json.SetFormatOptions(rapidjson::kFormatSingleLineArray);
  json.StartObject();
  Put(&json, "$schema", "https://json-schema.org/draft/2020-12/schema");
  Put(&json, "title", "A log record of sandpiper: one line of its output on stdout");
  Put(&json, "type", "object");
  PutArray(&json, "required", [&] {
    for (const char* key : {"ts", "level", "msg", "opensandbox.event", "sandbox_id"})
      json.String(key);
  });
  PutProperties(&json);
  PutObject(&json, "additionalProperties", [&] {
    Put(&json, "description", "attributes that the user adds");
    Put(&json, "type", "string");
  });
  PutArray(&json, "allOf", [&] {
    json.StartObject();
    PutObject(&json, "properties", [&] {
      PutObject(&json, "opensandbox.event", [&] {
        PutArray(&json, "enum", [&] {
          for (const EventRow& event : kEvents)
            json.String(event.name);
        });
      });
    });
    json.EndObject();
    for (const EventRow& event : kEvents)
      PutEvent(&json, event);
  });
  PutDefinitions(&json);
  json.EndObject();
  return absl::StrCat(buffer.GetString(), "\n");
}

}  // namespace sandpiper
