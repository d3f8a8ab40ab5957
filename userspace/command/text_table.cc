// SPDX-License-Identifier: Apache-2.0
#include "userspace/command/text_table.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "userspace/base/clock.h"

namespace sandpiper {
namespace {

// A wider cell shifts the cells to its right, but widens no other row.
constexpr size_t kWidthMax = 60;

// True for the second and later bytes of a character.
bool Continues(char c) { return (static_cast<uint8_t>(c) & 0xc0) == 0x80; }

}  // namespace

size_t Width(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return !Continues(c); }));
}

std::string Fit(const std::string& text, size_t width) {
  if (Width(text) <= width)
    return text;
  if (width == 0)
    return "";
  size_t end = 0;
  for (size_t shown = 0; shown + 1 < width; ++shown) {
    do {
      ++end;
    } while (end < text.size() && Continues(text[end]));
  }
  return text.substr(0, end) + "…";
}

std::string Pad(const std::string& text, size_t width) {
  return text + std::string(width - std::min(width, Width(text)), ' ');
}

std::vector<std::string> TextTable::Lines() const {
  std::vector<size_t> widths(rows_[0].size());
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max(widths[i], std::min(Width(row[i]), kWidthMax));
  }
  std::vector<std::string> out;
  for (const auto& row : rows_) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string pad(widths[i] - std::min(widths[i], Width(row[i])), ' ');
      absl::StrAppend(&line, i > 0 ? " " : "", i < texts_ ? row[i] + pad : pad + row[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out.push_back(std::move(line));
  }
  return out;
}

std::string DurationText(uint64_t ns) {
  const double ms = static_cast<double>(ns) / 1e6;
  if (ns < 1'000'000)
    return absl::StrFormat("%d µs", ns / 1000);
  return ms < 1000 ? absl::StrFormat("%.1f ms", ms) : absl::StrFormat("%.2f s", ms / 1000);
}

std::string BytesText(uint64_t n) {
  const double bytes = static_cast<double>(n);
  if (n < 10'000)
    return absl::StrCat(n, " B");
  return n < 10'000'000 ? absl::StrFormat("%.1f kB", bytes / 1e3)
                        : absl::StrFormat("%.1f MB", bytes / 1e6);
}

std::string AgeText(uint64_t since_unix_ns, uint64_t now_unix_ns) {
  const uint64_t s = (now_unix_ns - std::min(now_unix_ns, since_unix_ns)) / kSecond;
  if (s < 120)
    return absl::StrCat(s, "s");
  if (s < 2 * 3600)
    return absl::StrCat(s / 60, "m");
  return s < 48 * 3600 ? absl::StrCat(s / 3600, "h") : absl::StrCat(s / 86'400, "d");
}

}  // namespace sandpiper
