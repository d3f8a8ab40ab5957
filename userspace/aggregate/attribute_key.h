// SPDX-License-Identifier: Apache-2.0
// Keys of the catalogue of events (event_catalog.h), checked at compile time.
#ifndef SANDPIPER_USERSPACE_AGGREGATE_ATTRIBUTE_KEY_H_
#define SANDPIPER_USERSPACE_AGGREGATE_ATTRIBUTE_KEY_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "userspace/aggregate/event_catalog.h"
#include "userspace/base/shared_text.h"
#include "userspace/ruleset/ruleset.h"

namespace sandpiper {

// The type of attribute that holds a C++ value.
template <typename Value>
constexpr AttributeType TypeOf() {
  using Plain = std::remove_cvref_t<Value>;
  if constexpr (std::same_as<Plain, bool>)
    return AttributeType::kFlag;
  else if constexpr (std::same_as<Plain, int64_t>)
    return AttributeType::kInteger;
  else if constexpr (std::same_as<Plain, double>)
    return AttributeType::kReal;
  else if constexpr (std::same_as<Plain, std::vector<std::string>>)
    return AttributeType::kTextList;
  else if constexpr (std::same_as<Plain, std::vector<Rule>>)
    return AttributeType::kRuleList;
  else
    return AttributeType::kText;
}

// The key of an attribute of the catalogue. It is made from a literal at compile time:
//   record.Add("peer", address.ToString());
// does not compile if the catalogue has no "peer", or if that is no text.
template <AttributeType kType>
class AttributeKey {
 public:
  template <size_t N>
  consteval AttributeKey(const char (&name)[N])  // NOLINT(google-explicit-constructor)
      : name_(name), size_(N - 1), sensitivity_(Check(FindAttribute(name)).sensitivity) {}

  SharedText text() const { return SharedText::FromLiteral(std::string_view(name_, size_)); }
  Sensitivity sensitivity() const { return sensitivity_; }

 private:
  [[noreturn]] static void NotInTheCatalogueOrOfAnotherType() { std::abort(); }

  static constexpr const AttributeRow& Check(const AttributeRow* row) {
    if (!row || row->type != kType || IsFamily(row->name))
      NotInTheCatalogueOrOfAnotherType();  // not constexpr: the compiler's error names it
    return *row;
  }

  const char* name_;
  uint32_t size_;
  Sensitivity sensitivity_;
};

// The same for a family, as "sandpiper.dropped.*". Its members are integers.
class AttributeFamily {
 public:
  template <size_t N>
  consteval AttributeFamily(const char (&name)[N])  // NOLINT(google-explicit-constructor)
      : prefix_(name, N - 2) {
    const AttributeRow* const row = FindAttribute(name);
    if (!row || !IsFamily(row->name) || row->type != AttributeType::kInteger)
      NotAFamilyOfTheCatalogue();
  }

  std::string_view prefix() const { return prefix_; }  // with the dot

 private:
  [[noreturn]] static void NotAFamilyOfTheCatalogue() { std::abort(); }

  std::string_view prefix_;
};

// The name of an event of the catalogue, made from a literal at compile time.
class EventName {
 public:
  template <size_t N>
  consteval EventName(const char (&name)[N])  // NOLINT(google-explicit-constructor)
      : name_(name, N - 1) {
    for (const EventRow& row : kEvents) {
      if (name_ == row.name)
        return;
    }
    NotInTheCatalogue();
  }

  SharedText text() const { return SharedText::FromLiteral(name_); }

 private:
  [[noreturn]] static void NotInTheCatalogue() { std::abort(); }

  std::string_view name_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_AGGREGATE_ATTRIBUTE_KEY_H_
