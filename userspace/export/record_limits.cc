#include "userspace/export/record_limits.h"

#include <algorithm>

#include "absl/strings/str_replace.h"
#include "userspace/base/status.h"

namespace sandpiper {
namespace {

constexpr size_t kNoLimit = std::numeric_limits<size_t>::max();

// Of what an attribute costs beside its text.
constexpr size_t kElementBytes = 8;

size_t Bytes(const Attribute& attribute) {
  size_t bytes = attribute.key.size() + kElementBytes;
  if (const auto* text = std::get_if<std::string>(&attribute.value))
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

// At the end of a character: all but its first byte begin with the bits 10.
void Cut(std::string* text, size_t characters) {
  if (text->size() <= characters)
    return;
  for (size_t i = 0, seen = 0; i < text->size(); ++i) {
    if ((static_cast<unsigned char>((*text)[i]) & 0xc0) != 0x80 && seen++ == characters) {
      text->resize(i);
      return;
    }
  }
}

void Cut(AttributeValue* value, size_t characters) {
  if (auto* text = std::get_if<std::string>(value))
    Cut(text, characters);
  if (auto* list = std::get_if<std::vector<std::string>>(value)) {
    for (std::string& text : *list)
      Cut(&text, characters);
  }
}

}  // namespace

std::vector<std::string> DefaultArgumentPatterns() {
  return {
      R"((?i)(?:password|passwd|passphrase|secret|token|api[-_]?key|access[-_]?key|private[-_]?key|credential)s?(?:[=:]\s*| +)([^\s-]\S*))",
      R"((?i)\b(?:bearer|basic) +(\S+))",
      R"((?i)\b(?:cookie|x-[a-z-]*(?:key|token|auth)): *(\S+))",
      R"(://[^/\s:@]*:([^/\s@]+)@)",
  };
}

absl::StatusOr<RecordLimits> RecordLimits::Make(const Options& options) {
  std::vector<std::string> in_arguments = options.argument_patterns;
  in_arguments.insert(in_arguments.end(), options.host_patterns.begin(), options.host_patterns.end());
  ASSIGN_OR_RETURN(Redaction arguments, Redaction::Make(in_arguments));
  ASSIGN_OR_RETURN(Redaction hosts, Redaction::Make(options.host_patterns));
  return RecordLimits(options, std::move(arguments), std::move(hosts));
}

void RecordLimits::Redact(LogRecord* record) const {
  for (Attribute& attribute : record->attributes) {
    if (attribute.key == "process.command_args") {
      if (auto* list = std::get_if<std::vector<std::string>>(&attribute.value))
        arguments_.Apply(list);
    } else if (auto* rules = std::get_if<std::vector<Rule>>(&attribute.value)) {
      for (Rule& rule : *rules)
        hosts_.Apply(&rule.target);
    } else if (auto* text = std::get_if<std::string>(&attribute.value); text && !hosts_.empty() && attribute.key == "target.host") {
      const std::string host = *text;
      if (hosts_.Apply(text))
        record->body = absl::StrReplaceAll(record->body, {{host, *text}});
    }
  }
}

void RecordLimits::Apply(LogRecord* record) const {
  Redact(record);
  std::vector<Attribute>& attributes = record->attributes;
  size_t bytes = 0;
  for (Attribute& attribute : attributes) {
    if (options_.characters_max != kNoLimit)
      Cut(&attribute.value, options_.characters_max);
    bytes += Bytes(attribute);
  }
  const auto drop = [&](std::vector<Attribute>::iterator attribute) {
    bytes -= Bytes(*attribute);
    attributes.erase(attribute);
    ++record->dropped_attributes;
  };
  while (attributes.size() > options_.attributes_max)
    drop(attributes.end() - 1);
  while (bytes > options_.bytes_max)
    drop(std::max_element(attributes.begin(), attributes.end(), [](const auto& a, const auto& b) { return Bytes(a) < Bytes(b); }));
}

}  // namespace sandpiper
