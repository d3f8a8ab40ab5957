// SPDX-License-Identifier: Apache-2.0
// One JSON object a line: ts, level, msg, then the attributes under their own keys.
#ifndef SANDPIPER_USERSPACE_EXPORT_NDJSON_H_
#define SANDPIPER_USERSPACE_EXPORT_NDJSON_H_

#include <string>

#include "userspace/aggregate/log_record.h"
#include "userspace/export/json_writer.h"

namespace sandpiper {

// What most records take.
inline constexpr size_t kLineBytes = 1024;

// Both without the newline.
void AppendJson(const LogRecord& record, JsonWriter* json);
std::string ToJson(const LogRecord& record);

// Severity as `level` and, in upper case, severity_text show it: "info", "warn", "error".
const char* LevelName(Severity severity);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_NDJSON_H_
