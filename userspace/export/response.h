// SPDX-License-Identifier: Apache-2.0
// What OTLP endpoints answer, and what is to be done about it (opentelemetry-proto
// docs/specification.md).
#ifndef SANDPIPER_USERSPACE_EXPORT_RESPONSE_H_
#define SANDPIPER_USERSPACE_EXPORT_RESPONSE_H_

#include <chrono>
#include <optional>
#include <string>

#include "userspace/export/transport.h"

namespace sandpiper {

// OTLP 1.11 asks for a bound on responses and recommends this one, in bytes.
inline constexpr size_t kResponseMax = 4 << 20;

// Of a success whose response is not read, and why.
SendResult UnreadResponse(const char* why);

// Of a success: what a partial one left out. An answer that is no response means nothing, as Loki's
// 204 has none.
SendResult ReadResponse(const std::string& response);

// `retry_after`: as its header says, whether in seconds or as a date. `body`: a google.rpc.Status,
// or text for people.
SendResult FromHttp(long status, std::optional<std::chrono::milliseconds> retry_after,
                    const std::string& body);

// `code`: a grpc::StatusCode. `details`: a serialized google.rpc.Status, or empty.
SendResult FromGrpc(int code, const std::string& message, const std::string& details);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_RESPONSE_H_
