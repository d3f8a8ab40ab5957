// SPDX-License-Identifier: Apache-2.0
#include "userspace/aggregate/metrics.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace sandpiper {

void MetricSnapshot::Add(const MetricRow& row, MetricPoint point) {
  const auto family = std::find_if(families.begin(), families.end(),
                                   [&](const MetricFamily& f) { return f.row == &row; });
  if (family != families.end())
    family->points.push_back(std::move(point));
  else
    families.push_back({&row, {std::move(point)}});
}

size_t MetricSnapshot::points() const {
  size_t out = 0;
  for (const MetricFamily& family : families)
    out += family.points.size();
  return out;
}

std::string SeriesKey(const std::vector<Attribute>& attributes) {
  std::vector<std::string> pairs;
  for (const Attribute& attribute : attributes) {
    const auto* text = std::get_if<SharedText>(&attribute.value);
    const std::string value(text                              ? text->view()
                            : std::get<bool>(attribute.value) ? "true"
                                                              : "false");
    // Lengths make the key unambiguous: a value cannot look like the next key.
    pairs.push_back(absl::StrCat(attribute.key.size(), ":", std::string(attribute.key.view()),
                                 value.size(), ":", value));
  }
  std::sort(pairs.begin(), pairs.end());
  std::string out;
  for (const std::string& pair : pairs)
    out += pair;
  return out;
}

}  // namespace sandpiper
