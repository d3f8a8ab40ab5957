// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/redaction.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "userspace/base/text.h"

namespace sandpiper {

absl::StatusOr<Redaction> Redaction::Make(const std::vector<std::string>& patterns) {
  Redaction out;
  auto any = std::make_shared<RE2::Set>(RE2::Quiet, RE2::UNANCHORED);
  for (const std::string& pattern : patterns) {
    auto compiled = std::make_shared<const RE2>(pattern, RE2::Quiet);
    if (!compiled->ok())
      return absl::InvalidArgumentError(absl::StrCat("invalid regular expression \"",
                                                     Escape(pattern), "\": ", compiled->error()));
    out.patterns_.push_back(std::move(compiled));
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

std::vector<Redaction::Span> Redaction::Find(const std::string& text) const {
  std::vector<Span> found;
  for (const int index : Matching(text)) {
    const std::shared_ptr<const RE2>& pattern = patterns_[static_cast<size_t>(index)];
    const int groups = pattern->NumberOfCapturingGroups();
    std::vector<re2::StringPiece> parts(static_cast<size_t>(groups) + 1);
    for (size_t at = 0; at <= text.size();) {
      if (!pattern->Match(text, at, text.size(), RE2::UNANCHORED, parts.data(), groups + 1))
        break;
      for (size_t i = groups > 0 ? 1 : 0; i < parts.size(); ++i) {
        if (!parts[i].empty()) {
          const auto begin = static_cast<size_t>(parts[i].data() - text.data());
          found.push_back({begin, begin + parts[i].size()});
        }
      }
      const auto end = static_cast<size_t>(parts[0].data() - text.data()) + parts[0].size();
      at = std::max(end, at + 1);
    }
  }
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
  const std::vector<Span> spans = Find(absl::StrJoin(*texts, " "));
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
