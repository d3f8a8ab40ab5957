// SPDX-License-Identifier: Apache-2.0
// The last step of a record before it leaves sandpiper: masks sensitive text, and keeps the record
// within the size that backends accept.
#ifndef SANDPIPER_USERSPACE_EXPORT_RECORD_LIMITS_H_
#define SANDPIPER_USERSPACE_EXPORT_RECORD_LIMITS_H_

#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "userspace/aggregate/log_record.h"
#include "userspace/export/redaction.h"
#include "userspace/export/secret_patterns.h"

namespace sandpiper {

// Each output thread may use one RecordLimits at the same time as others: Apply() changes only the
// record.
class RecordLimits {
 public:
  struct Options {
    // Masked in attributes whose sensitivity is kArguments.
    std::vector<std::string> argument_patterns = DefaultArgumentPatterns();
    // Masked in those with kHost, and in those with kArguments: arguments may name hosts too.
    std::vector<std::string> host_patterns;
    // OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT and _VALUE_LENGTH_LIMIT (OpenTelemetry specification,
    // common/README.md "Attribute Limits").
    size_t attributes_max = 128;
    size_t characters_max = std::numeric_limits<size_t>::max();  // of each text
    // Loki accepts 64 KB of structured metadata for an entry, in JSON.
    size_t bytes_max = 48 << 10;
  };

  // InvalidArgument: one of the patterns is not a regular expression; the message names it.
  static absl::StatusOr<RecordLimits> Make(const Options& options);

  // Masks first. Then cuts long texts and drops attributes over the limits: the last ones if there
  // are too many, the largest ones if there are too many bytes.
  void Apply(LogRecord* record) const;

 private:
  RecordLimits(const Options& options, Redaction arguments, Redaction hosts)
      : options_(options),
        has_text_limit_(options.characters_max != std::numeric_limits<size_t>::max()),
        arguments_(std::move(arguments)),
        hosts_(std::move(hosts)) {}
  // Null: no pattern masks such attributes.
  const Redaction* PatternsFor(Sensitivity sensitivity) const;
  // Masks the value by the attribute's sensitivity. A masked text is masked in `body` too.
  void Mask(RecordAttribute* attribute, std::string* body) const;
  // Cuts the texts of the value to characters_max. Leaves rules whole.
  void CutTexts(RecordAttribute* attribute) const;

  Options options_;
  bool has_text_limit_;  // without one, the texts of a record need no look
  Redaction arguments_, hosts_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_RECORD_LIMITS_H_
