// SPDX-License-Identifier: Apache-2.0
// Writes the fields of protobuf messages backwards, from the last to the first. The encoding puts
// the length of a message before its content. When writing backwards the length is known by then,
// so that nothing has to be measured first or moved afterwards.
// https://protobuf.dev/programming-guides/encoding/
#ifndef SANDPIPER_USERSPACE_EXPORT_PROTO_WRITER_H_
#define SANDPIPER_USERSPACE_EXPORT_PROTO_WRITER_H_

#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

namespace sandpiper {

class ProtoWriter {
 public:
  // `bytes`: the initial size of the buffer.
  explicit ProtoWriter(size_t bytes)
      : capacity_(bytes), buffer_(std::make_unique_for_overwrite<char[]>(bytes)) {}

  void Varint(int field, uint64_t value) {
    PutVarint(value);
    PutTag(field, kVarint);
  }
  void Fixed64(int field, uint64_t value) {
    PutFixed64(value);
    PutTag(field, kFixed64);
  }
  void Double(int field, double value) { Fixed64(field, std::bit_cast<uint64_t>(value)); }
  void Bytes(int field, std::string_view value) {
    memcpy(Grow(value.size()), value.data(), value.size());
    PutHead(field, value.size());
  }
  // Writes a pair of a key and a text value in one step: a message with the text field `key`, and
  // with a message that only has the text field `text`. False, without writing, if one of the
  // lengths takes more than one byte.
  bool ShortPair(int field, int key_field, std::string_view key, int value_field, int text_field,
                 std::string_view text) {
    constexpr size_t kHead = 2;
    const size_t value = kHead + text.size(), pair = kHead + key.size() + kHead + value;
    if (pair >= 0x80)
      return false;
    char* to = Grow(kHead + pair);
    const auto put = [&](int number, size_t length) {
      *to++ = static_cast<char>(Tag(number, kLengthDelimited));
      *to++ = static_cast<char>(length);
    };
    put(field, pair);
    put(key_field, key.size());
    to = static_cast<char*>(memcpy(to, key.data(), key.size())) + key.size();
    put(value_field, value);
    put(text_field, text.size());
    memcpy(to, text.data(), text.size());
    return true;
  }
  // `write` writes the fields of the message, the last one first.
  template <typename Write>
  void Message(int field, const Write& write) {
    const size_t before = size_;
    write();
    PutHead(field, size_ - before);
  }

  size_t size() const { return size_; }
  std::string_view view() const { return {buffer_.get() + capacity_ - size_, size_}; }

 private:
  enum WireType : uint32_t { kVarint = 0, kFixed64 = 1, kLengthDelimited = 2 };

  // Room for `bytes` bytes in front of all others.
  char* Grow(size_t bytes) {
    if (size_ + bytes > capacity_)
      Reallocate(size_ + bytes);
    size_ += bytes;
    return buffer_.get() + capacity_ - size_;
  }

  void Reallocate(size_t least) {
    const size_t capacity = std::bit_ceil(least) * 2;
    auto buffer = std::make_unique_for_overwrite<char[]>(capacity);
    memcpy(buffer.get() + capacity - size_, buffer_.get() + capacity_ - size_, size_);
    buffer_ = std::move(buffer);
    capacity_ = capacity;
  }

  // The tag and the length in front of a field of `length` bytes.
  void PutHead(int field, size_t length) {
    const uint32_t tag = Tag(field, kLengthDelimited);
    // Mostly both take one byte.
    if ((tag | length) < 0x80) {
      char* const to = Grow(2);
      to[0] = static_cast<char>(tag);
      to[1] = static_cast<char>(length);
      return;
    }
    PutVarint(length);
    PutVarint(tag);
  }

  void PutVarint(uint64_t value) {
    if (value < 0x80) {
      *Grow(1) = static_cast<char>(value);
      return;
    }
    char* to = Grow((static_cast<size_t>(std::bit_width(value | 1)) + 6) / 7);
    for (; value >= 0x80; value >>= 7)
      *to++ = static_cast<char>(value | 0x80);
    *to = static_cast<char>(value);
  }

  void PutFixed64(uint64_t value) {
    char* const to = Grow(sizeof(value));
    for (size_t i = 0; i < sizeof(value); ++i)
      to[i] = static_cast<char>(value >> (8 * i));
  }

  static uint32_t Tag(int field, WireType type) { return static_cast<uint32_t>(field) << 3 | type; }
  void PutTag(int field, WireType type) { PutVarint(Tag(field, type)); }

  size_t capacity_;
  size_t size_ = 0;
  std::unique_ptr<char[]> buffer_;  // used from its end
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_PROTO_WRITER_H_
