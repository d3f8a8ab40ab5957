// SPDX-License-Identifier: Apache-2.0
#include "userspace/session/record_emitter.h"

#include "userspace/base/clock.h"

namespace sandpiper {

RecordEmitter::RecordEmitter(std::vector<Attribute> identity, Severity log_level,
                             std::optional<int64_t> recorded_unix_offset, RecordSink sink)
    : records_(std::move(identity)),
      log_level_(log_level),
      recorded_unix_offset_(recorded_unix_offset),
      unix_offset_(recorded_unix_offset_.value_or(UnixOffset())),
      sink_(std::move(sink)) {}

void RecordEmitter::RefreshUnixOffset() {
  unix_offset_ = recorded_unix_offset_.value_or(UnixOffset());
}

}  // namespace sandpiper
