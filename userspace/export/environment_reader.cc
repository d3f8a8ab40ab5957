// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/environment_reader.h"

#include <optional>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "userspace/base/text.h"

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

void EnvironmentReader::Warn(const std::string& name, const std::string& value,
                             const std::string& why) const {
  warnings_->push_back(absl::StrCat(name, "=", Escape(value), ": ", why));
}

std::vector<std::pair<std::string, std::string>> EnvironmentReader::Pairs(
    const std::string& name, const std::string& value) const {
  std::vector<std::pair<std::string, std::string>> out;
  for (const absl::string_view segment : absl::StrSplit(value, ',', absl::SkipWhitespace())) {
    const std::vector<std::string> halves = absl::StrSplit(segment, absl::MaxSplits('=', 1));
    const std::string key(absl::StripAsciiWhitespace(halves[0]));
    const auto text = halves.size() == 2
                          ? PercentDecode(std::string(absl::StripAsciiWhitespace(halves[1])))
                          : std::nullopt;
    if (key.empty() || !text) {
      Warn(name, value,
           absl::StrCat("not a list of key=value at \"", Escape(std::string(segment)),
                        "\"; the variable is ignored"));
      return {};
    }
    out.emplace_back(key, *text);
  }
  return out;
}

}  // namespace sandpiper
