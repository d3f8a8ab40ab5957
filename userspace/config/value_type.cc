// SPDX-License-Identifier: Apache-2.0
#include "userspace/config/value_type.h"

#include <cctype>
#include <cstring>
#include <map>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "userspace/base/status.h"
#include "userspace/base/text.h"

namespace sandpiper {

std::string Quoted(const std::string& text) { return absl::StrCat("\"", Escape(text), "\""); }

Texts SplitValue(const ValueType& type, const std::string& text) {
  if (type.separator == '\0')
    return {text};
  return absl::StrSplit(text, type.separator);
}

absl::StatusOr<bool> ParseSwitch(const std::string& text) {
  static const std::set<std::string> kOn = {"true", "yes", "on", "enable", "y", "t", "1"};
  static const std::set<std::string> kOff = {"false", "no", "off", "disable", "n", "f", "0"};
  const std::string word = absl::AsciiStrToLower(text);
  if (!kOn.contains(word) && !kOff.contains(word))
    return absl::InvalidArgumentError(absl::StrCat(Quoted(text), " is neither true nor false"));
  return kOn.contains(word);
}

absl::StatusOr<int64_t> ParseNumber(const std::string& text, int64_t min, int64_t max) {
  int64_t value = 0;
  if (!absl::SimpleAtoi(text, &value))
    return absl::InvalidArgumentError(absl::StrCat(Quoted(text), " is not a whole number"));
  if (value < min || value > max)
    return absl::InvalidArgumentError(
        absl::StrCat(Quoted(text), " is not between ", min, " and ", max));
  return value;
}

absl::StatusOr<uint64_t> ParseBytes(const std::string& text) {
  uint64_t bytes = 0;
  size_t digits = 0;
  while (digits < text.size() && digits < 12 && isdigit(static_cast<unsigned char>(text[digits])))
    bytes = bytes * 10 + static_cast<uint64_t>(text[digits++] - '0');
  std::string unit = text.substr(digits);
  for (const char* ending : {"iB", "B", "b"}) {
    if (unit.ends_with(ending)) {
      unit.resize(unit.size() - strlen(ending));
      break;
    }
  }
  static const std::map<std::string, uint64_t> kUnits = {
      {"", 1}, {"K", 1 << 10}, {"k", 1 << 10}, {"M", 1 << 20}, {"m", 1 << 20}, {"G", 1 << 30}};
  const auto factor = kUnits.find(unit);
  if (digits == 0 || factor == kUnits.end())
    return absl::InvalidArgumentError(
        absl::StrCat(Quoted(text), " is not a size in bytes, such as 64K, 8M or 1G"));
  return bytes * factor->second;
}

absl::StatusOr<uint32_t> ParseRingSize(const std::string& text) {
  ASSIGN_OR_RETURN(const uint64_t bytes, ParseBytes(text));
  const bool is_power_of_two = (bytes & (bytes - 1)) == 0;
  if (bytes < 4096 || bytes > (1u << 30) || !is_power_of_two)
    return absl::InvalidArgumentError(
        absl::StrCat(Quoted(text), " is not a power of two between 4K and 1G"));
  return static_cast<uint32_t>(bytes);
}

std::string FormatBytes(uint64_t bytes) {
  constexpr std::pair<int, const char*> kUnits[] = {{30, "G"}, {20, "M"}, {10, "K"}};
  for (const auto& [shift, unit] : kUnits) {
    const uint64_t size = uint64_t{1} << shift;
    if (bytes > 0 && bytes % size == 0)
      return absl::StrCat(bytes / size, unit);
  }
  return absl::StrCat(bytes);
}

}  // namespace sandpiper
