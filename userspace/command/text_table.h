// SPDX-License-Identifier: Apache-2.0
// Rows of text for a terminal, each column as wide as its widest cell.
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
  // The first `texts` columns stand to the left, the others, numbers, to the right.
  explicit TextTable(std::vector<std::string> titles, size_t texts = SIZE_MAX) : texts_(texts) {
    rows_.push_back(std::move(titles));
  }

  void Add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  bool empty() const { return rows_.size() == 1; }
  // The titles first; without line ends.
  std::vector<std::string> Lines() const;

 private:
  size_t texts_;
  std::vector<std::vector<std::string>> rows_;
};

// Characters of valid UTF-8, which is what a terminal shows of most texts.
size_t Width(std::string_view text);
// As many of them as fit; the last one is an ellipsis where not all do.
std::string Fit(const std::string& text, size_t width);
// Filled up with blanks.
std::string Pad(const std::string& text, size_t width);

// "85 µs", "9.6 ms", "1.15 s".
std::string DurationText(uint64_t ns);
// "210 B", "12.3 kB", "45.6 MB".
std::string BytesText(uint64_t bytes);
// How long ago, in its largest unit: "45s", "12m", "5h", "3d".
std::string AgeText(uint64_t since_unix_ns, uint64_t now_unix_ns);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_COMMAND_TEXT_TABLE_H_
