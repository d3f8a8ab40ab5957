// SPDX-License-Identifier: Apache-2.0
#include "userspace/base/text.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/escaping.h"
#include "absl/strings/str_format.h"

namespace sandpiper {
namespace {

// Includes the C1 range and U+2028/2029, which terminals and line-based tools treat as controls.
bool IsControl(std::string_view sequence) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(sequence[i]); };
  if (sequence.size() == 1)
    return byte(0) < 0x20 || byte(0) == 0x7f;
  if (sequence.size() == 2)
    return byte(0) == 0xc2 && byte(1) < 0xa0;
  return sequence.size() == 3 && byte(0) == 0xe2 && byte(1) == 0x80 &&
         (byte(2) == 0xa8 || byte(2) == 0xa9);
}

// The length of the ASCII text at the start that Escape does not change.
size_t UnescapedLength(std::string_view text) {
  return PlainLength</*kAsciiOnly=*/true, '\x7f', '\\'>(text);
}

}  // namespace

size_t Utf8SequenceLength(std::string_view text) {
  if (text.empty())
    return 0;
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : 0; };
  const auto tail = [&](size_t i) { return (byte(i) & 0xc0) == 0x80; };
  const uint8_t first = byte(0);
  if (first < 0x80)
    return 1;
  if (first >= 0xc2 && first <= 0xdf)
    return tail(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const bool overlong = first == 0xe0 && byte(1) < 0xa0;
    const bool surrogate = first == 0xed && byte(1) >= 0xa0;
    return tail(1) && tail(2) && !overlong && !surrogate ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const bool overlong = first == 0xf0 && byte(1) < 0x90;
    const bool above_unicode = first == 0xf4 && byte(1) >= 0x90;
    return tail(1) && tail(2) && tail(3) && !overlong && !above_unicode ? 4 : 0;
  }
  return 0;
}

bool IsPlain(std::string_view raw) {
  return PlainLength</*kAsciiOnly=*/true, '\x7f', '\\', '"'>(raw) == raw.size();
}

std::string Escape(std::string_view raw) {
  std::string out;
  out.reserve(raw.size());
  while (true) {
    // Most texts end here in the first round, because all of it is plain.
    const size_t plain = UnescapedLength(raw);
    out.append(raw.substr(0, plain));
    raw.remove_prefix(plain);
    if (raw.empty())
      return out;
    size_t length = Utf8SequenceLength(raw);
    const bool keep = length > 0 && !IsControl(raw.substr(0, length)) && raw[0] != '\\';
    if (length == 0)
      length = 1;
    if (keep) {
      out.append(raw.substr(0, length));
    } else if (raw[0] == '\\') {
      out.append("\\\\");
    } else {
      for (size_t i = 0; i < length; ++i)
        absl::StrAppendFormat(&out, "\\x%02x", static_cast<uint8_t>(raw[i]));
    }
    raw.remove_prefix(length);
  }
}

std::string Unescape(std::string_view escaped) {
  std::string out;
  for (size_t i = 0; i < escaped.size(); ++i) {
    if (escaped[i] != '\\' || i + 1 >= escaped.size()) {
      out.push_back(escaped[i]);
    } else if (escaped[i + 1] == 'x' && i + 3 < escaped.size()) {
      out.append(absl::HexStringToBytes(absl::string_view(escaped.data() + i + 2, 2)));
      i += 3;
    } else {
      out.push_back(escaped[++i]);
    }
  }
  return out;
}

}  // namespace sandpiper
