// How a request gets to one OTLP endpoint: gRPC or http/protobuf. Used by the export thread only.
#ifndef SANDPIPER_USERSPACE_EXPORT_TRANSPORT_H_
#define SANDPIPER_USERSPACE_EXPORT_TRANSPORT_H_

#include <cstdint>
#include <memory>
#include <string>

#include "userspace/export/otel_config.h"
#include "userspace/export/otlp.h"

namespace sandpiper {

struct SendResult {
  enum Verdict {
    kSent,
    kRetry,    // OTLP says that the same request may be sent again
    kRefused,  // it must not be sent again
  };
  Verdict verdict = kSent;
  uint64_t rejected = 0;  // partial success: so many records or points were not taken
  std::string error;      // for people; also the message of a partial success
};

class OtlpTransport {
 public:
  virtual ~OtlpTransport() = default;
  // Blocks until the answer or the endpoint's timeout.
  virtual SendResult Send(const OtlpLogs& request) = 0;
  virtual SendResult Send(const OtlpMetrics& request) = 0;
};

std::unique_ptr<OtlpTransport> MakeGrpcTransport(const OtlpEndpoint& endpoint);
std::unique_ptr<OtlpTransport> MakeHttpTransport(const OtlpEndpoint& endpoint);
std::unique_ptr<OtlpTransport> MakeTransport(const OtlpEndpoint& endpoint);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_TRANSPORT_H_
