// SPDX-License-Identifier: Apache-2.0
#ifndef SANDPIPER_USERSPACE_COMMAND_REPORT_REDACTION_H_
#define SANDPIPER_USERSPACE_COMMAND_REPORT_REDACTION_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "userspace/config/config.h"
#include "userspace/export/redaction.h"

namespace sandpiper {

// Prepares the texts of a report: escapes those that a sandbox chose, and masks secrets by the same
// patterns as in records.
class ReportRedaction {
 public:
  // With `show_secrets` nothing is masked.
  static absl::StatusOr<ReportRedaction> Make(const Config& config, bool show_secrets);

  // Raw arguments of a process.
  std::vector<std::string> Arguments(const std::vector<std::string>& raw) const;
  // A raw path, which may be an argument of a process too.
  std::string Path(std::string_view raw) const;
  // A host name, which the ledger has escaped.
  std::string Host(std::string_view name) const;

 private:
  ReportRedaction(Redaction arguments, Redaction hosts)
      : arguments_(std::move(arguments)), hosts_(std::move(hosts)) {}

  Redaction arguments_, hosts_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_COMMAND_REPORT_REDACTION_H_
