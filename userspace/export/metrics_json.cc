// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/metrics_json.h"

#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

namespace sandpiper {

std::string ToJson(const MetricSnapshot& snapshot) {
  std::string out;
  for (const MetricFamily& family : snapshot.families) {
    rapidjson::StringBuffer buffer;
    rapidjson::Writer<rapidjson::StringBuffer> json(buffer);
    json.StartObject();
    json.Key("name");
    json.String(family.row->name);
    json.Key("unit");
    json.String(family.row->unit);
    json.Key("points");
    json.StartArray();
    for (const MetricPoint& point : family.points) {
      json.StartObject();
      json.Key("attributes");
      json.StartObject();
      for (const Attribute& attribute : point.attributes) {
        json.Key(std::string(attribute.key.view()).c_str());
        if (const auto* text = std::get_if<SharedText>(&attribute.value))
          json.String(std::string(text->view()).c_str());
        else
          json.Bool(std::get<bool>(attribute.value));
      }
      json.EndObject();
      if (point.stale) {
        json.Key("stale");
        json.Bool(true);
        json.EndObject();
        continue;
      }
      if (const auto* histogram = std::get_if<Histogram>(&point.value)) {
        json.Key("count");
        json.Uint64(histogram->count());
        json.Key("sum");
        json.Double(histogram->sum());
      } else {
        json.Key("value");
        if (const auto* integer = std::get_if<int64_t>(&point.value))
          json.Int64(*integer);
        else
          json.Double(std::get<double>(point.value));
      }
      json.EndObject();
    }
    json.EndArray();
    json.EndObject();
    out.append(buffer.GetString(), buffer.GetSize());
    out.push_back('\n');
  }
  return out;
}

}  // namespace sandpiper
