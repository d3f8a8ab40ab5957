// SPDX-License-Identifier: Apache-2.0
// Text that a sandbox chose (arguments, paths, names) on its way into records: always valid UTF-8,
// one line, and reversible.
#ifndef SANDPIPER_USERSPACE_BASE_TEXT_H_
#define SANDPIPER_USERSPACE_BASE_TEXT_H_

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace sandpiper {

// Bytes that are no valid UTF-8 (RFC 3629), control characters (C0, DEL, C1), line and paragraph
// separators become \xHH, byte by byte, and a backslash becomes \\ so that the original can be told
// from an escape. Printable text without backslashes is unchanged.
std::string Escape(std::string_view raw);

// ASCII in which neither Escape nor JSON has anything to escape: most of what there is.
bool IsPlain(std::string_view raw);

// The inverse of Escape for anything that Escape returned.
std::string Unescape(std::string_view escaped);

// How much of the text comes before its first control character of ASCII (C0), one of `kOthers`,
// which are ASCII too, or, where `kAsciiOnly`, before a byte that is not ASCII; all of it if it has
// none.
template <bool kAsciiOnly, char... kOthers>
size_t PlainLength(std::string_view text) {
  constexpr size_t kWord = sizeof(uint64_t);
  constexpr uint64_t kOnes = 0x0101010101010101, kHigh = 0x8080808080808080;
  // Whether a byte of the word is below `limit`, as the high bit of the first such.
  const auto below = [](uint64_t word, uint64_t limit) {
    return (word - kOnes * limit) & ~word & kHigh;
  };
  const auto stops = [&](size_t at) {
    uint64_t word;
    std::memcpy(&word, text.data() + at, kWord);
    return ((below(word, 0x20) | (kAsciiOnly ? word & kHigh : 0)) | ... |
            below(word ^ kOnes * static_cast<uint8_t>(kOthers), 1)) != 0;
  };
  size_t at = 0;
  while (at + kWord <= text.size() && !stops(at))
    at += kWord;
  // The rest together with what is before it.
  if (at + kWord > text.size() && text.size() >= kWord && !stops(text.size() - kWord))
    return text.size();
  const auto plain = [](char c) {
    const auto byte = static_cast<uint8_t>(c);
    return byte >= 0x20 && (!kAsciiOnly || byte < 0x80) && (... && (c != kOthers));
  };
  while (at < text.size() && plain(text[at]))
    ++at;
  return at;
}

// Length of the valid UTF-8 sequence at the start of `text`, 0 if there is none.
size_t Utf8SequenceLength(std::string_view text);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_BASE_TEXT_H_
