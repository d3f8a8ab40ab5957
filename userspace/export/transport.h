// SPDX-License-Identifier: Apache-2.0
// Sends a request to one OTLP endpoint, over gRPC or http/protobuf. Used by one thread, except
// Cancel.
#ifndef SANDPIPER_USERSPACE_EXPORT_TRANSPORT_H_
#define SANDPIPER_USERSPACE_EXPORT_TRANSPORT_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "userspace/export/otel_config.h"
#include "userspace/export/request.h"

namespace sandpiper {

struct SendResult {
  enum Verdict {
    kSent,
    kRetry,    // the same request may be sent again
    kSplit,    // it must not be sent again; its size or a part of it may be the problem
    kRefused,  // it must not be sent again, and neither may its parts
  };
  Verdict verdict = kSent;
  uint64_t rejected = 0;  // partial success: the number of rejected records or points
  std::optional<std::chrono::milliseconds> retry_after;  // the endpoint asked for this time
  std::string error;  // for people; also the message of a partial success
};

class OtlpTransport {
 public:
  virtual ~OtlpTransport() = default;
  // `request` is a serialized Export…ServiceRequest of the signal. Blocks until the response or the
  // endpoint's timeout.
  virtual SendResult Send(const std::string& request) = 0;
  // May be called by any thread. Ends a running Send within a second; its result is kRetry.
  virtual void Cancel() = 0;
};

std::unique_ptr<OtlpTransport> MakeGrpcTransport(const OtlpEndpoint& endpoint, Signal signal);
// FailedPrecondition if libcurl is not installed.
absl::StatusOr<std::unique_ptr<OtlpTransport>> MakeHttpTransport(const OtlpEndpoint& endpoint,
                                                                 Signal signal);
// The transport for the endpoint's protocol.
absl::StatusOr<std::unique_ptr<OtlpTransport>> MakeTransport(const OtlpEndpoint& endpoint,
                                                             Signal signal);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_TRANSPORT_H_
