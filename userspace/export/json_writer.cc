// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/json_writer.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <iterator>

#include "userspace/base/text.h"

namespace sandpiper {

void JsonWriter::Reallocate(size_t least) {
  const size_t capacity = std::bit_ceil(least) * 2;
  auto buffer = std::make_unique_for_overwrite<char[]>(capacity);
  memcpy(buffer.get(), buffer_.get(), size_);
  buffer_ = std::move(buffer);
  capacity_ = capacity;
}

// RFC 8259 7.
void JsonWriter::PutEscaped(char c) {
  static constexpr char kDigits[] = "0123456789abcdef";
  Put('\\');
  if (c == '"' || c == '\\') {
    Put(c);
    return;
  }
  const auto byte = static_cast<unsigned char>(c);
  Put("u00");
  Put(kDigits[byte >> 4]);
  Put(kDigits[byte & 0xf]);
}

void JsonWriter::Value(std::string_view text) {
  Put('"');
  for (;;) {
    const size_t plain = PlainLength</*kAsciiOnly=*/false, '"', '\\'>(text);
    Put(text.substr(0, plain));
    if (plain == text.size())
      break;
    PutEscaped(text[plain]);
    text.remove_prefix(plain + 1);
  }
  Put('"');
}

void JsonWriter::Value(int64_t number) {
  char digits[20];
  Put(std::string_view(digits, std::to_chars(std::begin(digits), std::end(digits), number).ptr));
}

void JsonWriter::Value(double number) {
  if (!std::isfinite(number)) {
    Put("null");
    return;
  }
  // The fast path for durations. Two different decimals of at most 15 digits are different doubles,
  // so a decimal with six places that equals the number is its shortest text.
  constexpr double kPlaces = 1e6;
  const double scaled = number * kPlaces;
  if (scaled >= 0 && scaled < 1e15 && !std::signbit(number)) {
    if (const auto whole = static_cast<int64_t>(scaled + 0.5);
        static_cast<double>(whole) / kPlaces == number) {
      PutDecimal(whole);
      return;
    }
  }
  char digits[32];
  const std::string_view text(digits,
                              std::to_chars(std::begin(digits), std::end(digits), number).ptr);
  Put(text);
  if (text.find_first_of(".e") == text.npos)
    Put(".0");
}

void JsonWriter::PutDecimal(int64_t millionths) {
  Value(millionths / 1'000'000);
  auto rest = static_cast<uint32_t>(millionths % 1'000'000);
  char digits[] = ".000000";
  size_t size = 2;
  for (size_t at = 6; at > 0; --at, rest /= 10) {
    const uint32_t digit = rest % 10;
    digits[at] = static_cast<char>('0' + digit);
    if (digit != 0)
      size = std::max(size, at + 1);
  }
  Put(std::string_view(digits, size));
}

}  // namespace sandpiper
