// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/catalog_markdown.h"

#include <span>

#include "absl/strings/str_cat.h"
#include "userspace/aggregate/event_catalog.h"
#include "userspace/aggregate/metric_catalog.h"
#include "userspace/export/ndjson.h"
#include "userspace/export/prometheus_names.h"

namespace sandpiper {
namespace {

// Replaces the lines between two marks. Empty if the document lacks them.
std::string Replace(const std::string& document, const std::string& mark,
                    const std::string& table) {
  const std::string begin_mark = absl::StrCat("<!-- ", mark, ": begin -->\n");
  const std::string end_mark = absl::StrCat("<!-- ", mark, ": end -->\n");
  const size_t begin = document.find(begin_mark);
  const size_t end = document.find(end_mark);
  if (begin == std::string::npos || end == std::string::npos || end < begin)
    return "";
  return absl::StrCat(document.substr(0, begin + begin_mark.size()), table, document.substr(end));
}

void AppendKeys(std::span<const char* const> keys, std::string* out) {
  for (const char* const key : keys) {
    if (key)
      absl::StrAppend(out, out->empty() ? "" : ", ", "`", key, "`");
  }
}

std::string MetricTable() {
  std::string out =
      "| scope | name, in Prometheus | kind, unit | of a sandbox | attributes | meaning |\n"
      "|---|---|---|---|---|---|\n";
  for (const MetricRow& row : kMetrics) {
    std::string attributes;
    AppendKeys(row.attributes, &attributes);
    absl::StrAppend(&out, "| `", row.scope, "` | `", row.name, "`<br>`", PrometheusName(row),
                    "` | ", Name(row.kind), *row.unit ? ", " : "", row.unit, " | ",
                    row.subject == MetricSubject::kSandbox ? "yes" : "", " | ", attributes, " | ",
                    row.meaning, " |\n");
  }
  return out;
}

const char* SubjectName(EventSubject subject) {
  switch (subject) {
    case EventSubject::kNone:
      return "";
    case EventSubject::kProcess:
      return "*process*, *part*";
    case EventSubject::kActor:
      return "*process*, *actor*";
  }
  return "";
}

std::string EventTable() {
  std::string out =
      "| `opensandbox.event` | level | one record for | attributes |\n"
      "|---|---|---|---|\n";
  for (const EventRow& event : kEvents) {
    std::string levels;
    for (const Severity level : event.levels) {
      if (level != Severity{})
        absl::StrAppend(&levels, levels.empty() ? "" : ", ", LevelName(level));
    }
    std::string attributes = SubjectName(event.subject);
    AppendKeys(event.attributes, &attributes);
    absl::StrAppend(&out, "| `", event.name, "` | ", levels, " | ", event.one_record_for, " | ",
                    attributes, " |\n");
  }
  return out;
}

const char* MaskedBy(Sensitivity sensitivity) {
  switch (sensitivity) {
    case Sensitivity::kNone:
      return "";
    case Sensitivity::kHost:
      return "`--redact-hosts`";
    case Sensitivity::kArguments:
      return "`--redact-arguments`, `--redact-hosts`";
  }
  return "";
}

std::string AttributeTable() {
  std::string out =
      "| attribute | type | masked by | meaning |\n"
      "|---|---|---|---|\n";
  for (const AttributeRow& row : kEventAttributes)
    absl::StrAppend(&out, "| `", row.name, "` | ", Name(row.type), " | ", MaskedBy(row.sensitivity),
                    " | ", row.meaning, " |\n");
  return out;
}

}  // namespace

std::string WithMetricTable(const std::string& document) {
  return Replace(document, "catalog", MetricTable());
}

std::string WithEventTables(const std::string& document) {
  return Replace(Replace(document, "events", EventTable()), "attributes", AttributeTable());
}

}  // namespace sandpiper
