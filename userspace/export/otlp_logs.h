// SPDX-License-Identifier: Apache-2.0
// Encodes log records as an OTLP request
// (opentelemetry/proto/collector/logs/v1/logs_service.proto). The bytes are equal to those of the
// generated protobuf classes. No objects are built, which takes a tenth of the instructions.
#ifndef SANDPIPER_USERSPACE_EXPORT_OTLP_LOGS_H_
#define SANDPIPER_USERSPACE_EXPORT_OTLP_LOGS_H_

#include <span>
#include <string>
#include <vector>

#include "userspace/aggregate/log_record.h"

namespace sandpiper {

// A serialized ExportLogsServiceRequest with all records in one scope.
std::string EncodeLogs(std::span<const SharedRecord> records,
                       const std::vector<Attribute>& resource);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_OTLP_LOGS_H_
