// SPDX-License-Identifier: Apache-2.0
#include "userspace/event/dns_wire.h"

#include <array>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"

namespace sandpiper {
namespace {

constexpr size_t kNameMax = 255;  // RFC 1035 2.3.4, on the wire
// A name of 255 bytes has at most 127 labels. No valid name needs more pointers than labels.
constexpr int kJumpsMax = 127;

// In presentation form, one byte of a name takes at most four characters: \DDD.
constexpr size_t kTextMax = 4 * kNameMax;

// The character for each byte of a label; 0 if the byte is escaped. ASCII only, independent of the
// locale.
constexpr std::array<char, 256> kPlain = [] {
  std::array<char, 256> out = {};
  for (int c = '!'; c <= '~'; ++c)
    out[static_cast<size_t>(c)] = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  out['.'] = out['\\'] = 0;
  return out;
}();

// Writes `label` to `text`. Returns the position after it.
char* PutLabel(std::string_view label, char* text) {
  for (const char c : label) {
    const uint8_t byte = static_cast<uint8_t>(c);
    if (kPlain[byte] != 0) {
      *text++ = kPlain[byte];
      continue;
    }
    *text++ = '\\';
    if (byte == '.' || byte == '\\') {
      *text++ = c;
    } else {
      *text++ = static_cast<char>('0' + byte / 100);
      *text++ = static_cast<char>('0' + byte / 10 % 10);
      *text++ = static_cast<char>('0' + byte % 10);
    }
  }
  return text;
}

}  // namespace

uint16_t Read16(std::string_view wire, size_t at) {
  return static_cast<uint16_t>(static_cast<uint8_t>(wire[at]) << 8 |
                               static_cast<uint8_t>(wire[at + 1]));
}

uint32_t Read32(std::string_view wire, size_t at) {
  return static_cast<uint32_t>(Read16(wire, at)) << 16 | Read16(wire, at + 2);
}

absl::Status Malformed(std::string_view what, size_t at) {
  return absl::InvalidArgumentError(absl::StrCat(std::string(what), " at byte ", at));
}

absl::Status OutOfBytes(size_t at) {
  return absl::OutOfRangeError(absl::StrCat("the message ends within a field at byte ", at));
}

absl::StatusOr<SharedText> ReadName(std::string_view wire, size_t* at) {
  char text[kTextMax];
  char* end = text;
  size_t position = *at;
  size_t wire_bytes = 1;
  std::optional<size_t> after_pointer;
  for (int jumps = 0;;) {
    if (position >= wire.size())
      return OutOfBytes(position);
    const uint8_t length = static_cast<uint8_t>(wire[position]);
    if ((length & 0xc0) == 0xc0) {
      if (position + 1 >= wire.size())
        return OutOfBytes(position);
      const size_t target = Read16(wire, position) & 0x3fff;
      if (target >= position)
        return Malformed("a compression pointer that does not point backwards", position);
      if (++jumps > kJumpsMax)
        return Malformed("too many compression pointers", position);
      if (!after_pointer)
        after_pointer = position + 2;
      position = target;
      continue;
    }
    if (length & 0xc0)
      return Malformed("a label of a reserved kind or over 63 bytes", position);
    if (length == 0)
      break;
    if (position + 1 + length > wire.size())
      return OutOfBytes(position);
    wire_bytes += length + 1u;
    if (wire_bytes > kNameMax)
      return Malformed("a name of over 255 bytes", position);
    if (end != text)
      *end++ = '.';
    end = PutLabel(wire.substr(position + 1, length), end);
    position += length + 1u;
  }
  *at = after_pointer.value_or(position + 1);
  return end == text ? SharedText(".")
                     : SharedText(std::string_view(text, static_cast<size_t>(end - text)));
}

}  // namespace sandpiper
