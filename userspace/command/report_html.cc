// SPDX-License-Identifier: Apache-2.0
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "userspace/command/report_data.h"

namespace sandpiper {
namespace {

constexpr char kPage[] =
#include "userspace/command/report_html.inc"
    ;

// Escapes JSON for a <script> element, which "</script" would end. JSON has "<" in strings only.
std::string InScript(const std::string& json) {
  return absl::StrReplaceAll(json, {{"<", "\\u003c"}});
}

}  // namespace

std::string HtmlReport(const ReportInput& input, const PageLog& log) {
  std::string list = "[";
  for (const std::string& record : log.records)
    absl::StrAppend(&list, list.size() > 1 ? ",\n" : "", record);
  return absl::StrReplaceAll(
      kPage, {{"@REPORT@", InScript(PageData(input, log))}, {"@RECORDS@", InScript(list + "]")}});
}

}  // namespace sandpiper
