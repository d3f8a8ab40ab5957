// SPDX-License-Identifier: Apache-2.0
// An immutable string with a reference count. Copies share the characters, since the same text is
// in many records: the path of a process, the id of a sandbox, a value of the configuration.
// Different threads may hold copies of one text.
#ifndef SANDPIPER_USERSPACE_BASE_SHARED_TEXT_H_
#define SANDPIPER_USERSPACE_BASE_SHARED_TEXT_H_

#include <atomic>
#include <compare>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/string_view.h"
#include "userspace/base/text.h"

namespace sandpiper {

class SharedText {
 public:
  SharedText() = default;
  // Refers to a literal and copies nothing. The literal must be plain, see is_plain().
  template <size_t N>
  SharedText(const char (&literal)[N])  // NOLINT(google-explicit-constructor)
      : SharedText(literal, N - 1) {}
  template <size_t N>
  SharedText(char (&buffer)[N]) = delete;
  // Copies the characters. The size must be below 4 GiB.
  SharedText(const std::string& text)  // NOLINT(google-explicit-constructor)
      : SharedText(std::string_view(text)) {}
  explicit SharedText(std::string_view text)
      : SharedText(text.size(), [&](char* to) { memcpy(to, text.data(), text.size()); }) {}
  // `fill` must write all `size` characters.
  template <std::invocable<char*> Fill>
  SharedText(size_t size, const Fill& fill) : size_(static_cast<uint32_t>(size)) {
    if (size == 0)
      return;
    void* const memory = ::operator new(sizeof(RefCount) + size);
    ref_count_ = new (memory) RefCount(1);
    char* const text = static_cast<char*>(memory) + sizeof(RefCount);
    fill(text);
    begin_ = text;
    plain_ = IsPlain(view());
  }
  // For a literal that is chosen at run time. It must be plain.
  static SharedText FromLiteral(const char* literal) {
    return SharedText(literal, strlen(literal));
  }
  // The same, of a known size.
  static SharedText FromLiteral(std::string_view literal) {
    return SharedText(literal.data(), literal.size());
  }

  SharedText(const SharedText& other)
      : ref_count_(other.ref_count_),
        begin_(other.begin_),
        size_(other.size_),
        plain_(other.plain_) {
    if (ref_count_)
      ref_count_->fetch_add(1, std::memory_order_relaxed);
  }
  SharedText(SharedText&& other) noexcept
      : ref_count_(std::exchange(other.ref_count_, nullptr)),
        begin_(std::exchange(other.begin_, "")),
        size_(std::exchange(other.size_, 0)),
        plain_(other.plain_) {}
  // Copy and swap.
  // NOLINTNEXTLINE(performance-unnecessary-value-param)
  SharedText& operator=(SharedText other) noexcept {
    std::swap(ref_count_, other.ref_count_);
    std::swap(begin_, other.begin_);
    std::swap(size_, other.size_);
    std::swap(plain_, other.plain_);
    return *this;
  }
  ~SharedText() {
    if (ref_count_ && ref_count_->fetch_sub(1, std::memory_order_acq_rel) == 1)
      ::operator delete(ref_count_);
  }

  // The text from `begin` on, which must be at most size(). Shares the characters.
  SharedText Tail(size_t begin) const {
    SharedText out = *this;
    out.begin_ += begin;
    out.size_ -= static_cast<uint32_t>(begin);
    return out;
  }

  std::string_view view() const { return {begin_, size_}; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  // True if no encoding needs to escape any of it. May be false for a plain Tail().
  bool is_plain() const { return plain_; }

  operator std::string_view() const { return view(); }  // NOLINT(google-explicit-constructor)

  auto operator<=>(const SharedText& other) const { return view() <=> other.view(); }
  bool operator==(const SharedText& other) const { return view() == other.view(); }
  template <std::convertible_to<std::string_view> Other>
  bool operator==(const Other& other) const {
    return view() == std::string_view(other);
  }

  template <typename H>
  friend H AbslHashValue(H state, const SharedText& text) {
    return H::combine(std::move(state), absl::string_view(text.begin_, text.size_));
  }

 private:
  // In memory, the count precedes the characters.
  using RefCount = std::atomic<uint32_t>;

  SharedText(const char* literal, size_t size)
      : begin_(literal), size_(static_cast<uint32_t>(size)) {}

  RefCount* ref_count_ = nullptr;  // null for a literal
  const char* begin_ = "";
  uint32_t size_ = 0;
  bool plain_ = true;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_BASE_SHARED_TEXT_H_
