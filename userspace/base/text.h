// SPDX-License-Identifier: Apache-2.0
// Escapes text that a sandbox chose (arguments, paths, names) before it enters a record. The result
// is valid UTF-8, has one line, and can be converted back.
#ifndef SANDPIPER_USERSPACE_BASE_TEXT_H_
#define SANDPIPER_USERSPACE_BASE_TEXT_H_

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace sandpiper {

// Replaces each byte of invalid UTF-8 (RFC 3629), of control characters (C0, DEL, C1), and of line
// and paragraph separators by \xHH. A backslash becomes \\, so that no text looks like an escape.
// Printable text without backslashes is unchanged.
std::string Escape(std::string_view raw);

// True for ASCII text that needs no escape, neither by Escape nor in JSON. Most text is plain.
bool IsPlain(std::string_view raw);

// The inverse of Escape.
std::string Unescape(std::string_view escaped);

// The number of bytes before the first byte that is not plain; the size of the text if all are. Not
// plain are C0 control characters, `kOthers` (which must be ASCII), and with `kAsciiOnly` every
// byte that is not ASCII.
template <bool kAsciiOnly, char... kOthers>
size_t PlainLength(std::string_view text) {
  constexpr size_t kWord = sizeof(uint64_t);
  constexpr uint64_t kOnes = 0x0101010101010101, kHigh = 0x8080808080808080;
  // Sets the high bit of the first byte of the word that is below `limit`; 0 if there is none.
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
  // Checks the last word of the text at once; it overlaps with bytes that were checked already.
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

// The length of the valid UTF-8 sequence at the start of `text`, 0 if there is none.
size_t Utf8SequenceLength(std::string_view text);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_BASE_TEXT_H_
