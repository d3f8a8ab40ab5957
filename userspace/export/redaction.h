// SPDX-License-Identifier: Apache-2.0
// Masks parts of texts before they leave sandpiper.
#ifndef SANDPIPER_USERSPACE_EXPORT_REDACTION_H_
#define SANDPIPER_USERSPACE_EXPORT_REDACTION_H_

#include <re2/re2.h>
#include <re2/set.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sandpiper {

// Replaces masked text; the same as in Tetragon's redactionFilters.
inline constexpr char kHidden[] = "*****";

// A set of regular expressions (RE2). The text that their groups match is masked. An expression
// without groups masks its whole match.
//
// A group whose name begins with "value" stays within one argument. It masks to the end of that
// argument if the match begins at its start or before it: the value of an option may contain
// blanks, and an expression alone cannot see where an argument ends.
class Redaction {
 public:
  // InvalidArgument: a pattern is not a regular expression; the message names it.
  static absl::StatusOr<Redaction> Make(const std::vector<std::string>& patterns);

  bool empty() const { return patterns_.empty(); }
  // True if something was masked.
  bool Apply(std::string* text) const;
  // Matches the texts joined by blanks, so that a pattern may span an option and its value.
  bool Apply(std::vector<std::string>* texts) const;

 private:
  struct Pattern {
    std::shared_ptr<const RE2> regex;
    std::vector<bool> is_value;  // for each group: its name begins with "value"
  };
  struct Span {
    size_t begin, end;
  };
  // Indices in patterns_ of the patterns that match the text.
  std::vector<int> Matching(const std::string& text) const;
  // Adds the parts of the joined texts that the pattern masks. `ends`: where each text ends.
  static void AddSpans(const Pattern& pattern, const std::string& joined,
                       const std::vector<size_t>& ends, std::vector<Span>* out);
  // The parts of the joined texts to mask, sorted and without overlaps.
  std::vector<Span> Find(const std::vector<std::string>& texts) const;

  std::vector<Pattern> patterns_;
  // All patterns in one automaton with the indices of patterns_. One pass finds those that match.
  // Most texts have nothing to mask, so this pass is all they cost.
  std::shared_ptr<const RE2::Set> any_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_REDACTION_H_
