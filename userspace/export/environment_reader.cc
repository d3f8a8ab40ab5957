// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/environment_reader.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "userspace/base/text.h"
#include "userspace/export/secret_patterns.h"

namespace sandpiper {
namespace {

// Percent-decoding of W3C Baggage values. Nothing if an escape is invalid.
std::optional<std::string> PercentDecode(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    if (i + 2 >= text.size() || !absl::ascii_isxdigit(static_cast<unsigned char>(text[i + 1])) ||
        !absl::ascii_isxdigit(static_cast<unsigned char>(text[i + 2])))
      return std::nullopt;
    out.append(absl::HexStringToBytes(absl::string_view(text.data() + i + 1, 2)));
    i += 2;
  }
  return out;
}

// A name of a header is a token of RFC 9110.
bool IsHeader(const std::string& key, const std::string& value) {
  const auto is_token = [](unsigned char c) {
    return absl::ascii_isalnum(c) ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string::npos;
  };
  const auto is_control = [](unsigned char c) { return absl::ascii_iscntrl(c) && c != '\t'; };
  return std::all_of(key.begin(), key.end(), is_token) &&
         std::none_of(value.begin(), value.end(), is_control);
}

}  // namespace

std::string EnvironmentReader::Get(const std::string& name) const {
  return std::string(absl::StripAsciiWhitespace(get_env_(name.c_str())));
}

std::string EnvironmentReader::GetOtlp(const char* signal, const char* what,
                                       std::string* name) const {
  *name = absl::StrCat("OTEL_EXPORTER_OTLP_", signal, "_", what);
  std::string value = Get(*name);
  if (value.empty()) {
    *name = absl::StrCat("OTEL_EXPORTER_OTLP_", what);
    value = Get(*name);
  }
  return value;
}

void EnvironmentReader::AddWarning(std::string warning) const {
  if (std::find(warnings_->begin(), warnings_->end(), warning) == warnings_->end())
    warnings_->push_back(std::move(warning));
}

void EnvironmentReader::Warn(const std::string& name, const std::string& value,
                             const std::string& why) const {
  AddWarning(absl::StrCat(WithoutSecrets(absl::StrCat(name, "=", Escape(value))), ": ", why));
}

std::vector<std::pair<std::string, std::string>> EnvironmentReader::ParsePairs(
    const std::string& name, const std::string& value, const char* form, PairCheck is_valid) const {
  std::vector<std::pair<std::string, std::string>> out;
  size_t position = 0;
  for (const absl::string_view segment : absl::StrSplit(value, ',')) {
    ++position;
    if (absl::StripAsciiWhitespace(segment).empty())
      continue;
    const std::vector<std::string> halves = absl::StrSplit(segment, absl::MaxSplits('=', 1));
    std::string key(absl::StripAsciiWhitespace(halves[0]));
    auto text = halves.size() == 2
                    ? PercentDecode(std::string(absl::StripAsciiWhitespace(halves[1])))
                    : std::nullopt;
    if (key.empty() || !text || !is_valid(key, *text)) {
      AddWarning(absl::StrCat(name, ": entry ", position, " is not ", form,
                              "; the variable is ignored (its text is not shown)"));
      return {};
    }
    out.emplace_back(std::move(key), *std::move(text));
  }
  return out;
}

std::vector<std::pair<std::string, std::string>> EnvironmentReader::Pairs(
    const std::string& name, const std::string& value) const {
  return ParsePairs(name, value, "key=value",
                    [](const std::string&, const std::string&) { return true; });
}

std::vector<std::pair<std::string, std::string>> EnvironmentReader::Headers(
    const std::string& name, const std::string& value) const {
  auto out = ParsePairs(name, value, "name=value of a header", IsHeader);
  for (auto& [key, unused] : out)
    key = absl::AsciiStrToLower(key);
  return out;
}

}  // namespace sandpiper
