// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/record_limits.h"

#include <algorithm>

#include "absl/strings/str_replace.h"
#include "userspace/base/status.h"

namespace sandpiper {
namespace {

// Bytes that an attribute or an item takes besides its text, about.
constexpr size_t kElementBytes = 8;

size_t Bytes(const Attribute& attribute) {
  size_t bytes = attribute.key.size() + kElementBytes;
  if (const auto* text = std::get_if<SharedText>(&attribute.value))
    bytes += text->size();
  if (const auto* list = std::get_if<std::vector<std::string>>(&attribute.value)) {
    for (const std::string& text : *list)
      bytes += text.size() + kElementBytes;
  }
  if (const auto* rules = std::get_if<std::vector<Rule>>(&attribute.value)) {
    for (const Rule& rule : *rules)
      bytes += rule.action.size() + rule.target.size() + 4 * kElementBytes;
  }
  return bytes;
}

// The first `characters` characters of UTF-8. All bytes of a character but its first one begin with
// the bits 10.
std::string_view Cut(std::string_view text, size_t characters) {
  if (text.size() <= characters)
    return text;
  for (size_t i = 0, seen = 0; i < text.size(); ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80 && seen++ == characters)
      return text.substr(0, i);
  }
  return text;
}

}  // namespace

absl::StatusOr<RecordLimits> RecordLimits::Make(const Options& options) {
  std::vector<std::string> in_arguments = options.argument_patterns;
  in_arguments.insert(in_arguments.end(), options.host_patterns.begin(),
                      options.host_patterns.end());
  ASSIGN_OR_RETURN(Redaction arguments, Redaction::Make(in_arguments));
  ASSIGN_OR_RETURN(Redaction hosts, Redaction::Make(options.host_patterns));
  return RecordLimits(options, std::move(arguments), std::move(hosts));
}

const Redaction* RecordLimits::PatternsFor(Sensitivity sensitivity) const {
  switch (sensitivity) {
    case Sensitivity::kNone:
      return nullptr;
    case Sensitivity::kHost:
      return hosts_.empty() ? nullptr : &hosts_;
    case Sensitivity::kArguments:
      return arguments_.empty() ? nullptr : &arguments_;
  }
  return nullptr;
}

void RecordLimits::Mask(RecordAttribute* attribute, std::string* body) const {
  const Redaction* const patterns = PatternsFor(attribute->sensitivity);
  if (!patterns)
    return;
  if (auto* const text = std::get_if<SharedText>(&attribute->value)) {
    const std::string clear(text->view());
    std::string masked = clear;
    if (!patterns->Apply(&masked))
      return;
    *body = absl::StrReplaceAll(*body, {{clear, masked}});
    *text = masked;
  } else if (auto* const list = std::get_if<std::vector<std::string>>(&attribute->value)) {
    patterns->Apply(list);
  } else if (auto* const rules = std::get_if<std::vector<Rule>>(&attribute->value)) {
    for (Rule& rule : *rules)
      patterns->Apply(&rule.target);
  }
}

void RecordLimits::CutTexts(RecordAttribute* attribute) const {
  if (auto* const text = std::get_if<SharedText>(&attribute->value)) {
    if (text->size() > options_.characters_max)
      *text = SharedText(Cut(text->view(), options_.characters_max));
  } else if (auto* const list = std::get_if<std::vector<std::string>>(&attribute->value)) {
    for (std::string& item : *list)
      item.resize(Cut(std::string_view(item), options_.characters_max).size());
  }
}

void RecordLimits::Apply(LogRecord* record) const {
  std::vector<RecordAttribute>& attributes = record->attributes;
  size_t bytes = 0;
  for (RecordAttribute& attribute : attributes) {
    if (attribute.sensitivity != Sensitivity::kNone)
      Mask(&attribute, &record->body);
    if (has_text_limit_)
      CutTexts(&attribute);
    bytes += Bytes(attribute);
  }
  const auto drop = [&](std::vector<RecordAttribute>::iterator attribute) {
    bytes -= Bytes(*attribute);
    attributes.erase(attribute);
    ++record->dropped_attributes;
  };
  while (attributes.size() > options_.attributes_max)
    drop(attributes.end() - 1);
  while (bytes > options_.bytes_max)
    drop(std::max_element(attributes.begin(), attributes.end(),
                          [](const auto& a, const auto& b) { return Bytes(a) < Bytes(b); }));
}

}  // namespace sandpiper
