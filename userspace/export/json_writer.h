// Parts of a JSON text (RFC 8259), appended to what is there: for lines that are written for each record. Order and commas are the
// caller's.
#ifndef SANDPIPER_USERSPACE_EXPORT_JSON_WRITER_H_
#define SANDPIPER_USERSPACE_EXPORT_JSON_WRITER_H_

#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>

namespace sandpiper {

class JsonWriter {
 public:
  // `bytes`: what there is room for before it has to grow.
  explicit JsonWriter(size_t bytes) : capacity_(bytes), buffer_(std::make_unique_for_overwrite<char[]>(bytes)) {}

  // As it stands.
  void Put(char c) { *Grow(1) = c; }
  void Put(std::string_view json) { memcpy(Grow(json.size()), json.data(), json.size()); }

  // With its quotes. `text` is valid UTF-8, which JSON holds as it is.
  void Value(std::string_view text);
  void Value(const char* text) = delete;  // it would be a bool
  void Value(int64_t number);
  // As short as it can be read back, and never without a fraction or an exponent; null for what is no number.
  void Value(double number);
  void Value(bool value) { Put(value ? std::string_view("true") : std::string_view("false")); }

  std::string_view view() const { return {buffer_.get(), size_}; }

 private:
  // Where the next `bytes` go.
  char* Grow(size_t bytes) {
    if (size_ + bytes > capacity_)
      Reallocate(size_ + bytes);
    size_ += bytes;
    return buffer_.get() + size_ - bytes;
  }
  void Reallocate(size_t least);
  void PutEscaped(char c);

  size_t capacity_;
  size_t size_ = 0;
  std::unique_ptr<char[]> buffer_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_JSON_WRITER_H_
