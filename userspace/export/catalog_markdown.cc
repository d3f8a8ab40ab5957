// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/catalog_markdown.h"

#include "absl/strings/str_cat.h"
#include "userspace/aggregate/metric_catalog.h"
#include "userspace/export/prometheus_names.h"

namespace sandpiper {
namespace {

constexpr char kBegin[] = "<!-- catalog: begin -->\n", kEnd[] = "<!-- catalog: end -->\n";

std::string CatalogMarkdown() {
  std::string out =
      "| scope | name, in Prometheus | kind, unit | of a sandbox | attributes | meaning |\n"
      "|---|---|---|---|---|---|\n";
  for (const MetricRow& row : kMetrics) {
    std::string attributes;
    for (const char* key : row.attributes) {
      if (!key)
        break;
      absl::StrAppend(&attributes, attributes.empty() ? "" : ", ", "`", key, "`");
    }
    absl::StrAppend(&out, "| `", row.scope, "` | `", row.name, "`<br>`", PrometheusName(row),
                    "` | ", Name(row.kind), *row.unit ? ", " : "", row.unit, " | ",
                    row.subject == MetricSubject::kSandbox ? "yes" : "", " | ", attributes, " | ", row.meaning, " |\n");
  }
  return out;
}

}  // namespace

std::string WithCatalog(const std::string& document) {
  const size_t begin = document.find(kBegin), end = document.find(kEnd);
  if (begin == std::string::npos || end == std::string::npos || end < begin)
    return "";
  return absl::StrCat(document.substr(0, begin + sizeof(kBegin) - 1), CatalogMarkdown(),
                      document.substr(end));
}

}  // namespace sandpiper
