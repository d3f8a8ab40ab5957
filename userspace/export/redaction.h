// SPDX-License-Identifier: Apache-2.0
// What is hidden of texts before they leave.
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

// Stands for what is hidden, as Tetragon's redactionFilters have it.
inline constexpr char kHidden[] = "*****";

// Regular expressions (RE2). What their groups match is hidden; the whole match of one without
// groups.
class Redaction {
 public:
  // InvalidArgument names the pattern that is none.
  static absl::StatusOr<Redaction> Make(const std::vector<std::string>& patterns);

  bool empty() const { return patterns_.empty(); }
  // True if something was hidden.
  bool Apply(std::string* text) const;
  // As if blanks stood between them: a pattern may span several, as an option and its value.
  bool Apply(std::vector<std::string>* texts) const;

 private:
  struct Span {
    size_t begin, end;
  };
  // Those that match the text, by their place in patterns_.
  std::vector<int> Matching(const std::string& text) const;
  // In order, without overlaps.
  std::vector<Span> Find(const std::string& text) const;

  std::vector<std::shared_ptr<const RE2>> patterns_;
  // All of them, by their place in patterns_: one pass says which match at all, and most texts hold
  // nothing to hide.
  std::shared_ptr<const RE2::Set> any_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_REDACTION_H_
