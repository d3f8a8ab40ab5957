// SPDX-License-Identifier: Apache-2.0
#ifndef SANDPIPER_USERSPACE_SESSION_RECORD_EMITTER_H_
#define SANDPIPER_USERSPACE_SESSION_RECORD_EMITTER_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "userspace/aggregate/log_record.h"
#include "userspace/aggregate/records.h"

namespace sandpiper {

using RecordSink = std::function<void(LogRecord)>;

// Builds the records of one sandbox and passes those of the log level on to a sink. It also holds
// the offset from CLOCK_BOOTTIME, the clock of all events, to Unix time.
//
// Every `make` below is called as LogRecord(RecordMaker& records, int64_t unix_offset).
class RecordEmitter {
 public:
  // `recorded_unix_offset`: the offset of a capture. Without it the offset is that of this host.
  RecordEmitter(std::vector<Attribute> identity, Severity log_level,
                std::optional<int64_t> recorded_unix_offset, RecordSink sink);

  // Emits the record unless its severity is below the log level.
  template <typename Make>
  void Emit(const Make& make) {
    LogRecord record = make(records_, unix_offset_);
    if (record.severity >= log_level_)
      sink_(std::move(record));
  }
  // For records at info and debug, which a sandbox can cause in large numbers: `make` is not even
  // called where the log level excludes its record.
  template <typename Make>
  void EmitInfo(const Make& make) {
    if (log_level_ <= Severity::kInfo)
      sink_(make(records_, unix_offset_));
  }
  template <typename Make>
  void EmitDebug(const Make& make) {
    if (log_level_ <= Severity::kDebug)
      sink_(make(records_, unix_offset_));
  }

  void set_log_level(Severity level) { log_level_ = level; }
  // Follows a step of the host's wall clock. The offset of a capture never changes.
  void RefreshUnixOffset();
  int64_t unix_offset() const { return unix_offset_; }
  bool is_recorded() const { return recorded_unix_offset_.has_value(); }

  RecordMaker& records() { return records_; }
  const RecordMaker& records() const { return records_; }

 private:
  RecordMaker records_;
  Severity log_level_;
  const std::optional<int64_t> recorded_unix_offset_;
  int64_t unix_offset_;
  RecordSink sink_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_SESSION_RECORD_EMITTER_H_
