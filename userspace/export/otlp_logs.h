// SPDX-License-Identifier: Apache-2.0
// A request of OTLP logs (opentelemetry/proto/collector/logs/v1/logs_service.proto), byte for byte
// what the generated classes serialize, without building their objects first.
#ifndef SANDPIPER_USERSPACE_EXPORT_OTLP_LOGS_H_
#define SANDPIPER_USERSPACE_EXPORT_OTLP_LOGS_H_

#include <span>
#include <string>
#include <vector>

#include "userspace/aggregate/log_record.h"

namespace sandpiper {

// ExportLogsServiceRequest with all records in one scope.
std::string EncodeLogs(std::span<const SharedRecord> records,
                       const std::vector<Attribute>& resource);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_OTLP_LOGS_H_
