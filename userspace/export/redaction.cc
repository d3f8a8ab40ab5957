// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/redaction.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "userspace/base/text.h"

namespace sandpiper {
namespace {
constexpr absl::string_view kValueGroup = "value";

}  // namespace

absl::StatusOr<Redaction> Redaction::Make(const std::vector<std::string>& patterns) {
  Redaction out;
  auto any = std::make_shared<RE2::Set>(RE2::Quiet, RE2::UNANCHORED);
  for (const std::string& pattern : patterns) {
    auto compiled = std::make_shared<const RE2>(pattern, RE2::Quiet);
    if (!compiled->ok())
      return absl::InvalidArgumentError(absl::StrCat("invalid regular expression \"",
                                                     Escape(pattern), "\": ", compiled->error()));
    std::vector<bool> is_value(static_cast<size_t>(compiled->NumberOfCapturingGroups()) + 1);
    for (const auto& [index, name] : compiled->CapturingGroupNames())
      is_value[static_cast<size_t>(index)] = absl::StartsWith(name, kValueGroup);
    out.patterns_.push_back({.regex = std::move(compiled), .is_value = std::move(is_value)});
    any->Add(pattern, nullptr);
  }
  if (any->Compile())
    out.any_ = std::move(any);
  return out;
}

std::vector<int> Redaction::Matching(const std::string& text) const {
  std::vector<int> found;
  RE2::Set::ErrorInfo error = {.kind = RE2::Set::kNotCompiled};
  if (any_ && (any_->Match(text, &found, &error) || error.kind == RE2::Set::kNoError))
    return found;
  // If the set needs more memory than RE2 allows, try all patterns.
  found.resize(patterns_.size());
  std::iota(found.begin(), found.end(), 0);
  return found;
}

void Redaction::AddSpans(const Pattern& pattern, const std::string& joined,
                         const std::vector<size_t>& ends, std::vector<Span>* out) {
  const int groups = pattern.regex->NumberOfCapturingGroups();
  std::vector<re2::StringPiece> parts(static_cast<size_t>(groups) + 1);
  for (size_t at = 0; at <= joined.size();) {
    if (!pattern.regex->Match(joined, at, joined.size(), RE2::UNANCHORED, parts.data(), groups + 1))
      return;
    const auto match = static_cast<size_t>(parts[0].data() - joined.data());
    size_t match_end = match + parts[0].size();
    for (size_t i = groups > 0 ? 1 : 0; i < parts.size(); ++i) {
      if (parts[i].empty())
        continue;
      Span span = {.begin = static_cast<size_t>(parts[i].data() - joined.data()), .end = 0};
      span.end = span.begin + parts[i].size();
      const auto text = std::upper_bound(ends.begin(), ends.end(), span.begin);
      const size_t text_begin = text == ends.begin() ? 0 : *(text - 1) + 1;
      if (pattern.is_value[i] && text != ends.end()) {
        span.end = match <= text_begin ? *text : std::min(span.end, *text);
        match_end = std::min(match_end, span.end);
      }
      out->push_back(span);
    }
    at = std::max(match_end, at + 1);
  }
}

std::vector<Redaction::Span> Redaction::Find(const std::vector<std::string>& texts) const {
  const std::string joined = absl::StrJoin(texts, " ");
  const std::vector<int> matching = Matching(joined);
  if (matching.empty())
    return {};
  std::vector<size_t> ends;
  for (const std::string& text : texts)
    ends.push_back((ends.empty() ? 0 : ends.back() + 1) + text.size());
  std::vector<Span> found;
  for (const int index : matching)
    AddSpans(patterns_[static_cast<size_t>(index)], joined, ends, &found);
  std::sort(found.begin(), found.end(),
            [](const Span& a, const Span& b) { return a.begin < b.begin; });
  std::vector<Span> out;
  for (const Span& span : found) {
    if (!out.empty() && span.begin <= out.back().end)
      out.back().end = std::max(out.back().end, span.end);
    else
      out.push_back(span);
  }
  return out;
}

bool Redaction::Apply(std::string* text) const {
  std::vector<std::string> one = {std::move(*text)};
  const bool hidden = Apply(&one);
  *text = std::move(one[0]);
  return hidden;
}

bool Redaction::Apply(std::vector<std::string>* texts) const {
  if (patterns_.empty())
    return false;
  const std::vector<Span> spans = Find(*texts);
  size_t begin = 0;
  for (std::string& text : *texts) {
    const size_t end = begin + text.size();
    std::string out;
    size_t done = begin;
    for (const Span& span : spans) {
      const size_t from = std::max(span.begin, begin), to = std::min(span.end, end);
      if (from >= to)
        continue;
      absl::StrAppend(&out, text.substr(done - begin, from - done), kHidden);
      done = to;
    }
    if (done > begin) {
      out += text.substr(done - begin);
      text = std::move(out);
    }
    begin = end + 1;
  }
  return !spans.empty();
}

}  // namespace sandpiper
