// SPDX-License-Identifier: Apache-2.0
// Text that no longer changes, and is held by many: by each record of a process, of a sandbox, of a
// configuration. To copy it copies no character. Copies may be in several threads.
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
  // A literal, which is plain and stays where it is.
  template <size_t N>
  SharedText(const char (&literal)[N])  // NOLINT(google-explicit-constructor)
      : SharedText(literal, N - 1) {}
  template <size_t N>
  SharedText(char (&buffer)[N]) = delete;
  // A copy, of less than 4 GiB.
  SharedText(const std::string& text)  // NOLINT(google-explicit-constructor)
      : SharedText(std::string_view(text)) {}
  explicit SharedText(std::string_view text)
      : SharedText(text.size(), [&](char* to) { memcpy(to, text.data(), text.size()); }) {}
  // `fill` writes each of `size` characters.
  template <std::invocable<char*> Fill>
  SharedText(size_t size, const Fill& fill) : size_(static_cast<uint32_t>(size)) {
    if (size == 0)
      return;
    void* const memory = ::operator new(sizeof(Holders) + size);
    holders_ = new (memory) Holders(1);
    char* const text = static_cast<char*>(memory) + sizeof(Holders);
    fill(text);
    begin_ = text;
    plain_ = IsPlain(view());
  }
  // What a function chose among literals.
  static SharedText OfLiteral(const char* literal) { return SharedText(literal, strlen(literal)); }

  SharedText(const SharedText& other)
      : holders_(other.holders_), begin_(other.begin_), size_(other.size_), plain_(other.plain_) {
    if (holders_)
      holders_->fetch_add(1, std::memory_order_relaxed);
  }
  SharedText(SharedText&& other) noexcept
      : holders_(std::exchange(other.holders_, nullptr)),
        begin_(std::exchange(other.begin_, "")),
        size_(std::exchange(other.size_, 0)),
        plain_(other.plain_) {}
  SharedText& operator=(SharedText other) noexcept {
    std::swap(holders_, other.holders_);
    std::swap(begin_, other.begin_);
    std::swap(size_, other.size_);
    std::swap(plain_, other.plain_);
    return *this;
  }
  ~SharedText() {
    if (holders_ && holders_->fetch_sub(1, std::memory_order_acq_rel) == 1)
      ::operator delete(holders_);
  }

  // From `begin` on, which is within it.
  SharedText Tail(size_t begin) const {
    SharedText out = *this;
    out.begin_ += begin;
    out.size_ -= static_cast<uint32_t>(begin);
    return out;
  }

  std::string_view view() const { return {begin_, size_}; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  // No encoding has to escape anything of it. Some of what is plain may not say so.
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
  // Stands before the characters of a copy.
  using Holders = std::atomic<uint32_t>;

  SharedText(const char* literal, size_t size)
      : begin_(literal), size_(static_cast<uint32_t>(size)) {}

  Holders* holders_ = nullptr;  // null: a literal
  const char* begin_ = "";
  uint32_t size_ = 0;
  bool plain_ = true;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_BASE_SHARED_TEXT_H_
