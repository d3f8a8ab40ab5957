// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/prometheus_names.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace sandpiper {
namespace {

bool IsWord(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)); }

// The word for a UCUM unit of the catalogue.
std::string UnitWord(std::string_view unit) {
  if (unit == "s")
    return "seconds";
  if (unit == "By")
    return "bytes";
  return "";  // {annotations} have no word
}

}  // namespace

std::string PrometheusName(const MetricRow& row) {
  std::string text = row.name;
  std::replace_if(
      text.begin(), text.end(), [](char c) { return !IsWord(c); }, '_');
  std::vector<std::string> words = absl::StrSplit(text, '_', absl::SkipEmpty());
  const auto move_to_end = [&](const std::string& word) {
    std::erase(words, word);
    words.push_back(word);
  };
  if (const std::string unit = UnitWord(row.unit);
      !unit.empty() && std::find(words.begin(), words.end(), unit) == words.end())
    words.push_back(unit);
  if (row.kind == MetricKind::kCounter)
    move_to_end("total");
  if (row.kind == MetricKind::kGauge && std::string_view(row.unit) == "1")
    move_to_end("ratio");
  return absl::StrJoin(words, "_");
}

std::string PrometheusLabel(const std::string& key) {
  std::string label = key;
  std::replace_if(
      label.begin(), label.end(), [](char c) { return !IsWord(c) && c != '_'; }, '_');
  if (!label.empty() && absl::ascii_isdigit(static_cast<unsigned char>(label[0])))
    label = "key_" + label;
  return label;
}

}  // namespace sandpiper
