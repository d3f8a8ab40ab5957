// SPDX-License-Identifier: Apache-2.0
// Interprets the responses of OTLP endpoints (opentelemetry-proto docs/specification.md).
#ifndef SANDPIPER_USERSPACE_EXPORT_RESPONSE_H_
#define SANDPIPER_USERSPACE_EXPORT_RESPONSE_H_

#include <chrono>
#include <optional>
#include <string>

#include "userspace/export/transport.h"

namespace sandpiper {

// The size limit for responses in bytes that OTLP 1.11 recommends.
inline constexpr size_t kResponseMax = 4 << 20;

// The result of a success with an unreadable response; `why` says why it is unreadable.
SendResult UnreadResponse(const char* why);

// The result of a success, which may be partial. A body that cannot be parsed is a full success:
// Loki answers with 204 and no body.
SendResult ReadResponse(const std::string& response);

// `retry_after`: from the header, which has seconds or a date. `body`: a google.rpc.Status, or text
// for people.
SendResult FromHttp(long status, std::optional<std::chrono::milliseconds> retry_after,
                    const std::string& body);

// `code`: a grpc::StatusCode. `details`: a serialized google.rpc.Status, or empty.
SendResult FromGrpc(int code, const std::string& message, const std::string& details);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_RESPONSE_H_
