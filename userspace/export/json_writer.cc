#include "userspace/export/json_writer.h"

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
  char digits[32];
  const std::string_view text(digits, std::to_chars(std::begin(digits), std::end(digits), number).ptr);
  Put(text);
  if (text.find_first_of(".e") == text.npos)
    Put(".0");
}

}  // namespace sandpiper
