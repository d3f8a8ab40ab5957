// SPDX-License-Identifier: Apache-2.0
// Log records as JSON, one object for each line: ts, level, msg, then the attributes.
// docs/events.schema.json is its schema.
#ifndef SANDPIPER_USERSPACE_EXPORT_NDJSON_H_
#define SANDPIPER_USERSPACE_EXPORT_NDJSON_H_

#include <string>

#include "userspace/aggregate/log_record.h"
#include "userspace/export/json_writer.h"

namespace sandpiper {

// Enough bytes for most records.
inline constexpr size_t kLineBytes = 1024;

// Both write no newline.
void AppendJson(const LogRecord& record, JsonWriter* json);
std::string ToJson(const LogRecord& record);

// "debug", "info", "warn", "error": the value of `level`.
const char* LevelName(Severity severity);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_NDJSON_H_
