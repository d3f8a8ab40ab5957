// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/otlp_logs.h"

#include "opentelemetry/proto/collector/logs/v1/logs_service.pb.h"
#include "userspace/base/version.h"
#include "userspace/export/proto_writer.h"

namespace sandpiper {
namespace {

namespace logs = opentelemetry::proto::logs::v1;
namespace common = opentelemetry::proto::common::v1;
using common::AnyValue;
using common::KeyValue;

constexpr char kScopeName[] = "sandpiper";

// The level in capitals, as in OpenTelemetry's SDKs.
std::string_view SeverityText(Severity severity) {
  switch (severity) {
    case Severity::kDebug:
      return "DEBUG";
    case Severity::kInfo:
      return "INFO";
    case Severity::kWarn:
      return "WARN";
    case Severity::kError:
      return "ERROR";
  }
  return "";
}

// Bytes of a typical record. The buffer grows for batches of longer ones.
constexpr size_t kRecordBytes = 768;

// Replaces std::views::reverse: clang 14, which builds the fuzz targets, cannot compile the one of
// libstdc++ 12.
template <typename List>
class Backwards {
 public:
  explicit Backwards(const List& list) : list_(list) {}
  auto begin() const { return list_.rbegin(); }
  auto end() const { return list_.rend(); }

 private:
  const List& list_;
};

void Write(ProtoWriter* out, const SharedText& text) {
  out->Bytes(AnyValue::kStringValueFieldNumber, text.view());
}
void Write(ProtoWriter* out, const std::string& text) {
  out->Bytes(AnyValue::kStringValueFieldNumber, text);
}
void Write(ProtoWriter* out, int64_t number) {
  out->Varint(AnyValue::kIntValueFieldNumber, static_cast<uint64_t>(number));
}
void Write(ProtoWriter* out, double number) {
  out->Double(AnyValue::kDoubleValueFieldNumber, number);
}
void Write(ProtoWriter* out, bool value) { out->Varint(AnyValue::kBoolValueFieldNumber, value); }

void Write(ProtoWriter* out, const std::vector<std::string>& list) {
  out->Message(AnyValue::kArrayValueFieldNumber, [&] {
    for (const std::string& item : Backwards(list))
      out->Message(common::ArrayValue::kValuesFieldNumber, [&] { Write(out, item); });
  });
}

// An empty `key` is left out, as in proto3.
template <typename WriteValue>
void WritePair(ProtoWriter* out, int field, std::string_view key, const WriteValue& write_value) {
  out->Message(field, [&] {
    out->Message(KeyValue::kValueFieldNumber, write_value);
    if (!key.empty())
      out->Bytes(KeyValue::kKeyFieldNumber, key);
  });
}

// Each rule becomes a map: attributes of logs may be nested (OTLP common.proto, AnyValue).
void Write(ProtoWriter* out, const std::vector<Rule>& rules) {
  out->Message(AnyValue::kArrayValueFieldNumber, [&] {
    for (const Rule& rule : Backwards(rules)) {
      out->Message(common::ArrayValue::kValuesFieldNumber, [&] {
        out->Message(AnyValue::kKvlistValueFieldNumber, [&] {
          WritePair(out, common::KeyValueList::kValuesFieldNumber, "target",
                    [&] { Write(out, rule.target); });
          WritePair(out, common::KeyValueList::kValuesFieldNumber, "action",
                    [&] { Write(out, rule.action); });
        });
      });
    }
  });
}

template <typename List>
void WriteAttributes(ProtoWriter* out, int field, const List& attributes) {
  for (const Attribute& attribute : Backwards(attributes)) {
    const auto* const text = std::get_if<SharedText>(&attribute.value);
    if (text && !attribute.key.empty() &&
        out->ShortPair(field, KeyValue::kKeyFieldNumber, attribute.key.view(),
                       KeyValue::kValueFieldNumber, AnyValue::kStringValueFieldNumber,
                       text->view()))
      continue;
    WritePair(out, field, attribute.key.view(),
              [&] { std::visit([&](const auto& value) { Write(out, value); }, attribute.value); });
  }
}

void WriteText(ProtoWriter* out, int field, std::string_view text) {
  if (!text.empty())
    out->Bytes(field, text);
}

void WriteTime(ProtoWriter* out, int field, uint64_t unix_ns) {
  if (unix_ns != 0)
    out->Fixed64(field, unix_ns);
}

void WriteRecord(ProtoWriter* out, const LogRecord& record) {
  WriteText(out, logs::LogRecord::kEventNameFieldNumber, record.event.view());
  WriteTime(out, logs::LogRecord::kObservedTimeUnixNanoFieldNumber, record.observed_unix_ns);
  if (record.dropped_attributes != 0)
    out->Varint(logs::LogRecord::kDroppedAttributesCountFieldNumber, record.dropped_attributes);
  WriteAttributes(out, logs::LogRecord::kAttributesFieldNumber, record.attributes);
  out->Message(logs::LogRecord::kBodyFieldNumber, [&] { Write(out, record.body); });
  WriteText(out, logs::LogRecord::kSeverityTextFieldNumber, SeverityText(record.severity));
  out->Varint(logs::LogRecord::kSeverityNumberFieldNumber, static_cast<uint64_t>(record.severity));
  WriteTime(out, logs::LogRecord::kTimeUnixNanoFieldNumber, record.time_unix_ns);
}

}  // namespace

std::string EncodeLogs(std::span<const SharedRecord> records,
                       const std::vector<Attribute>& resource) {
  ProtoWriter out(kRecordBytes * (records.size() + 1));
  out.Message(
      opentelemetry::proto::collector::logs::v1::ExportLogsServiceRequest::kResourceLogsFieldNumber,
      [&] {
        out.Message(logs::ResourceLogs::kScopeLogsFieldNumber, [&] {
          for (const SharedRecord& record : Backwards(records))
            out.Message(logs::ScopeLogs::kLogRecordsFieldNumber,
                        [&] { WriteRecord(&out, *record); });
          out.Message(logs::ScopeLogs::kScopeFieldNumber, [&] {
            WriteText(&out, common::InstrumentationScope::kVersionFieldNumber, kVersion);
            WriteText(&out, common::InstrumentationScope::kNameFieldNumber, kScopeName);
          });
        });
        out.Message(logs::ResourceLogs::kResourceFieldNumber, [&] {
          WriteAttributes(
              &out, opentelemetry::proto::resource::v1::Resource::kAttributesFieldNumber, resource);
        });
      });
  return std::string(out.view());
}

}  // namespace sandpiper
