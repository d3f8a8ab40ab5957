// SPDX-License-Identifier: Apache-2.0
// What a log record may hold when it leaves: nothing that is to be hidden, and no more than
// backends take.
#ifndef SANDPIPER_USERSPACE_EXPORT_RECORD_LIMITS_H_
#define SANDPIPER_USERSPACE_EXPORT_RECORD_LIMITS_H_

#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "userspace/aggregate/log_record.h"
#include "userspace/export/redaction.h"

namespace sandpiper {

// Passwords and tokens in options, assignments, headers and URLs.
std::vector<std::string> DefaultArgumentPatterns();

class RecordLimits {
 public:
  struct Options {
    std::vector<std::string> argument_patterns =
        DefaultArgumentPatterns();           // for process.command_args
    std::vector<std::string> host_patterns;  // for target.host and the targets of rules; and
                                             // arguments, which may name hosts too
    // OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT and _VALUE_LENGTH_LIMIT (OpenTelemetry specification,
    // common/README.md "Attribute Limits").
    size_t attributes_max = 128;
    size_t characters_max = std::numeric_limits<size_t>::max();  // of each text
    // Loki takes 64 KB of structured metadata with an entry, in JSON.
    size_t bytes_max = 48 << 10;
  };

  // InvalidArgument names the pattern that is none.
  static absl::StatusOr<RecordLimits> Make(const Options& options);

  // Hides first; then cuts texts, and drops attributes beyond the limits, the largest first where
  // there are too many bytes.
  void Apply(LogRecord* record) const;

 private:
  RecordLimits(const Options& options, Redaction arguments, Redaction hosts)
      : options_(options), arguments_(std::move(arguments)), hosts_(std::move(hosts)) {}
  void RedactHost(SharedText* host, LogRecord* record) const;
  // Of a value that is a list; any other stays.
  void LimitList(Attribute* attribute) const;

  Options options_;
  Redaction arguments_, hosts_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_RECORD_LIMITS_H_
