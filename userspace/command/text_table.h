// SPDX-License-Identifier: Apache-2.0
// A table of text for a terminal. Each column is as wide as its widest cell.
#ifndef SANDPIPER_USERSPACE_COMMAND_TEXT_TABLE_H_
#define SANDPIPER_USERSPACE_COMMAND_TEXT_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sandpiper {

class TextTable {
 public:
  // The first `texts` columns are aligned to the left. The others hold numbers and are aligned to
  // the right.
  explicit TextTable(std::vector<std::string> titles, size_t texts = SIZE_MAX) : texts_(texts) {
    rows_.push_back(std::move(titles));
  }

  void Add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  bool empty() const { return rows_.size() == 1; }
  // The line of titles, then the rows. Lines have no line breaks.
  std::vector<std::string> Lines() const;

 private:
  size_t texts_;
  std::vector<std::vector<std::string>> rows_;
};

// The number of characters of valid UTF-8 text. A terminal shows most of them one column wide.
size_t Width(std::string_view text);
// Cuts the text to at most `width` characters. The last one is then an ellipsis.
std::string Fit(const std::string& text, size_t width);
// Appends blanks up to `width` characters.
std::string Pad(const std::string& text, size_t width);

// "85 µs", "9.6 ms", "1.15 s".
std::string DurationText(uint64_t ns);
// "210 B", "12.3 kB", "45.6 MB".
std::string BytesText(uint64_t bytes);
// The time since then in its largest unit: "45s", "12m", "5h", "3d".
std::string AgeText(uint64_t since_unix_ns, uint64_t now_unix_ns);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_COMMAND_TEXT_TABLE_H_
