// SPDX-License-Identifier: Apache-2.0
// How a request gets to one OTLP endpoint: gRPC or http/protobuf. Used by one thread, but for
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
    kRetry,    // OTLP says that the same request may be sent again
    kSplit,    // it must not be sent again; a part of it may be what is wrong, or its size
    kRefused,  // it must not be sent again, nor would any other fare better
  };
  Verdict verdict = kSent;
  uint64_t rejected = 0;  // partial success: so many records or points were not taken
  std::optional<std::chrono::milliseconds> retry_after;  // as the endpoint asks
  std::string error;  // for people; also the message of a partial success
};

class OtlpTransport {
 public:
  virtual ~OtlpTransport() = default;
  // `request`: the serialized Export…ServiceRequest of its signal. Blocks until the answer or the
  // endpoint's timeout.
  virtual SendResult Send(const std::string& request) = 0;
  // From any thread: ends a Send that is under way, within a second, as a failure that may be tried
  // again.
  virtual void Cancel() = 0;
};

std::unique_ptr<OtlpTransport> MakeGrpcTransport(const OtlpEndpoint& endpoint, Signal signal);
// FailedPrecondition where libcurl is not there.
absl::StatusOr<std::unique_ptr<OtlpTransport>> MakeHttpTransport(const OtlpEndpoint& endpoint,
                                                                 Signal signal);
// Of the endpoint's protocol.
absl::StatusOr<std::unique_ptr<OtlpTransport>> MakeTransport(const OtlpEndpoint& endpoint,
                                                             Signal signal);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_TRANSPORT_H_
