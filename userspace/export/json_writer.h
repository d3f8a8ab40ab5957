// SPDX-License-Identifier: Apache-2.0
// Writes JSON text (RFC 8259) into a buffer. It is made for the hot path, one line for each record.
// The caller writes brackets and commas and is responsible for their order.
#ifndef SANDPIPER_USERSPACE_EXPORT_JSON_WRITER_H_
#define SANDPIPER_USERSPACE_EXPORT_JSON_WRITER_H_

#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>

#include "userspace/base/shared_text.h"

namespace sandpiper {

class JsonWriter {
 public:
  // `bytes`: the initial size of the buffer.
  explicit JsonWriter(size_t bytes)
      : capacity_(bytes), buffer_(std::make_unique_for_overwrite<char[]>(bytes)) {}

  // Appends JSON text unchanged.
  void Put(char c) { *Grow(1) = c; }
  void Put(std::string_view json) { memcpy(Grow(json.size()), json.data(), json.size()); }

  // Appends a string in quotes. `text` is valid UTF-8.
  void Value(std::string_view text);
  void Value(const std::string& text) { Value(std::string_view(text)); }
  void Value(const SharedText& text) {
    if (text.is_plain())
      PutQuoted(text.view(), "\"", "\"");
    else
      Value(text.view());
  }
  // Appends the key of a member with a comma before it: it is not the first one.
  void NextKey(const SharedText& key) {
    if (key.is_plain()) {
      PutQuoted(key.view(), ",\"", "\":");
      return;
    }
    Put(',');
    Value(key.view());
    Put(':');
  }
  void Value(const char* text) = delete;  // it would be converted to bool
  void Value(int64_t number);
  // Appends the shortest text that reads back as the same number. It always has a fraction or an
  // exponent. Infinity and NaN become null.
  void Value(double number);
  void Value(bool value) { Put(value ? std::string_view("true") : std::string_view("false")); }

  void Clear() { size_ = 0; }
  std::string_view view() const { return {buffer_.get(), size_}; }

 private:
  template <size_t kBefore, size_t kAfter>
  void PutQuoted(std::string_view text, const char (&before)[kBefore],
                 const char (&after)[kAfter]) {
    char* const to = Grow(kBefore - 1 + text.size() + kAfter - 1);
    memcpy(to, before, kBefore - 1);
    memcpy(to + kBefore - 1, text.data(), text.size());
    memcpy(to + kBefore - 1 + text.size(), after, kAfter - 1);
  }
  // Room for `bytes` more bytes.
  char* Grow(size_t bytes) {
    if (size_ + bytes > capacity_)
      Reallocate(size_ + bytes);
    size_ += bytes;
    return buffer_.get() + size_ - bytes;
  }
  void Reallocate(size_t least);
  void PutEscaped(char c);
  // Appends a decimal with one to six places.
  void PutDecimal(int64_t millionths);

  size_t capacity_;
  size_t size_ = 0;
  std::unique_ptr<char[]> buffer_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_JSON_WRITER_H_
