// SPDX-License-Identifier: Apache-2.0
#include "userspace/command/report_redaction.h"

#include "userspace/base/status.h"
#include "userspace/base/text.h"

namespace sandpiper {

absl::StatusOr<ReportRedaction> ReportRedaction::Make(const Config& config, bool show_secrets) {
  std::vector<std::string> in_arguments, in_hosts;
  if (!show_secrets) {
    in_hosts = config.redact_hosts;
    in_arguments = config.redact_arguments;
    in_arguments.insert(in_arguments.end(), in_hosts.begin(), in_hosts.end());
  }
  ASSIGN_OR_RETURN(Redaction arguments, Redaction::Make(in_arguments));
  ASSIGN_OR_RETURN(Redaction hosts, Redaction::Make(in_hosts));
  return ReportRedaction(std::move(arguments), std::move(hosts));
}

std::vector<std::string> ReportRedaction::Arguments(const std::vector<std::string>& raw) const {
  std::vector<std::string> out;
  for (const std::string& argument : raw)
    out.push_back(Escape(argument));
  arguments_.Apply(&out);
  return out;
}

std::string ReportRedaction::Path(std::string_view raw) const {
  std::string out = Escape(raw);
  arguments_.Apply(&out);
  return out;
}

std::string ReportRedaction::Host(std::string_view name) const {
  std::string out(name);
  hosts_.Apply(&out);
  return out;
}

}  // namespace sandpiper
