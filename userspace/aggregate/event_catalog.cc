// SPDX-License-Identifier: Apache-2.0
#include "userspace/aggregate/event_catalog.h"

#include <algorithm>
#include <span>

namespace sandpiper {
namespace {

struct SensitiveKey {
  std::string_view name;
  Sensitivity sensitivity;
};

constexpr size_t kSensitiveCount =
    std::count_if(std::begin(kEventAttributes), std::end(kEventAttributes),
                  [](const AttributeRow& row) { return row.sensitivity != Sensitivity::kNone; });

// Only the rows that are needed at run time, so that the meanings of all rows stay out of the
// program.
constexpr std::array<SensitiveKey, kSensitiveCount> kSensitive = [] {
  std::array<SensitiveKey, kSensitiveCount> out = {};
  size_t count = 0;
  for (const AttributeRow& row : kEventAttributes) {
    if (row.sensitivity != Sensitivity::kNone)
      out[count++] = {.name = row.name, .sensitivity = row.sensitivity};
  }
  return out;
}();

}  // namespace

Sensitivity SensitivityOf(std::string_view key) {
  for (const SensitiveKey& row : kSensitive) {
    if (key == row.name)
      return row.sensitivity;
  }
  return Sensitivity::kNone;
}

std::vector<const AttributeRow*> AttributesOf(const EventRow& event) {
  const auto contains = [](std::span<const char* const> names, std::string_view name) {
    return std::any_of(names.begin(), names.end(),
                       [&](const char* other) { return other && name == other; });
  };
  std::vector<const AttributeRow*> out;
  for (const AttributeRow& row : kEventAttributes) {
    const bool of_process = event.subject != EventSubject::kNone;
    if (contains(kEveryRecordAttributes, row.name) || contains(event.attributes, row.name) ||
        (of_process && contains(kProcessAttributes, row.name)) ||
        (event.subject == EventSubject::kProcess && contains(kPartAttributes, row.name)) ||
        (event.subject == EventSubject::kActor && contains(kActorAttributes, row.name)))
      out.push_back(&row);
  }
  return out;
}

const char* Name(AttributeType type) {
  switch (type) {
    case AttributeType::kText:
      return "text";
    case AttributeType::kInteger:
      return "integer";
    case AttributeType::kReal:
      return "real";
    case AttributeType::kFlag:
      return "flag";
    case AttributeType::kTextList:
      return "list of text";
    case AttributeType::kRuleList:
      return "list of rules";
  }
  return "";
}

}  // namespace sandpiper
