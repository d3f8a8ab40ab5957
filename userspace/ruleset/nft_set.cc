// SPDX-License-Identifier: Apache-2.0
#include "userspace/ruleset/nft_set.h"

#include <algorithm>
#include <string_view>

#include "absl/strings/str_join.h"

namespace sandpiper {
namespace {

// Formats each part of a key. In a concatenation each part fills whole 32-bit registers.
std::vector<std::string> FormatKey(const std::vector<NftSubject>& subjects, std::string_view low,
                                   std::string_view high) {
  if (subjects.size() == 1)
    return {FormatNftElement(subjects[0], low, high)};
  std::vector<std::string> out;
  size_t at = 0;
  for (const NftSubject& subject : subjects) {
    if (at >= low.size())
      break;
    const std::string_view from = low.substr(at, subject.bytes);
    const std::string_view to = high.substr(std::min(at, high.size()), subject.bytes);
    out.push_back(FormatNftElement(subject, from, to.empty() ? from : to));
    at += size_t{subject.bytes + 3} / 4 * 4;
  }
  return out;
}

}  // namespace

std::vector<NftSetValue> StaticValues(const NftSet& set, const std::vector<NftSubject>& subjects) {
  std::vector<const NftElement*> sorted;
  const NftElement* catch_all = nullptr;
  for (const NftElement& element : set.elements) {
    if (element.catch_all)
      catch_all = &element;
    else
      sorted.push_back(&element);
  }
  // An end sorts before a beginning with the same value: the intervals are adjacent.
  std::stable_sort(sorted.begin(), sorted.end(), [](const NftElement* a, const NftElement* b) {
    return std::pair(std::string_view(a->key), !a->interval_end) <
           std::pair(std::string_view(b->key), !b->interval_end);
  });
  std::vector<NftSetValue> out;
  for (size_t i = 0; i < sorted.size(); ++i) {
    const NftElement& element = *sorted[i];
    if (element.interval_end || element.timed)
      continue;
    std::string high = element.key_end.empty() ? element.key : element.key_end;
    if (set.interval && element.key_end.empty() && subjects.size() == 1) {
      // The kernel looks for the greatest key that is not above the value. So an interval ends at
      // the next key, also if that begins an interval: nft omits the end of an interval in an
      // anonymous set if the next one begins there.
      const bool is_last = i + 1 == sorted.size();
      high = is_last ? std::string(element.key.size(), '\xff') : Before(sorted[i + 1]->key);
    }
    std::vector<std::string> parts = FormatKey(subjects, element.key, high);
    std::string text = absl::StrJoin(parts, " . ");
    out.push_back({.text = std::move(text), .parts = std::move(parts), .element = &element});
  }
  if (catch_all && !catch_all->timed)
    out.push_back({.text = "*", .parts = {"*"}, .element = catch_all});
  return out;
}

uint64_t CountStatic(const NftSet& set) {
  return static_cast<uint64_t>(std::count_if(
      set.elements.begin(), set.elements.end(),
      [](const NftElement& element) { return !element.interval_end && !element.timed; }));
}

}  // namespace sandpiper
