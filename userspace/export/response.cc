// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/response.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "opentelemetry/proto/collector/logs/v1/logs_service.pb.h"
#include "rpc_status.pb.h"
#include "userspace/base/text.h"

namespace sandpiper {
namespace {

// The numbers of grpc::StatusCode in the protocol.
enum GrpcCode {
  kCancelled = 1,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kResourceExhausted = 8,
  kAborted = 10,
  kOutOfRange = 11,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
};

constexpr size_t kTextMax = 200;

std::string Short(const std::string& text) { return Escape(text.substr(0, kTextMax)); }

std::optional<std::chrono::milliseconds> RetryDelay(const rpc::Status& status) {
  for (const google::protobuf::Any& detail : status.details()) {
    rpc::RetryInfo info;
    if (detail.type_url() != "type.googleapis.com/google.rpc.RetryInfo" ||
        !info.ParseFromString(detail.value()))
      continue;
    const int64_t ms = info.retry_delay().seconds() * 1000 + info.retry_delay().nanos() / 1'000'000;
    return std::chrono::milliseconds(std::max<int64_t>(ms, 0));
  }
  return std::nullopt;
}

}  // namespace

SendResult UnreadResponse(const char* why) {
  return {.verdict = SendResult::kSent,
          .rejected = 0,
          .retry_after = std::nullopt,
          .error = absl::StrCat("the response is ", why)};
}

SendResult ReadResponse(const std::string& response) {
  // The responses of all signals have the same encoding: fields rejected = 1 and error_message = 2
  // in partial_success = 1.
  opentelemetry::proto::collector::logs::v1::ExportLogsServiceResponse parsed;
  if (!parsed.ParseFromString(response))
    return {};
  SendResult result;
  result.rejected =
      static_cast<uint64_t>(std::max<int64_t>(parsed.partial_success().rejected_log_records(), 0));
  result.error = Short(parsed.partial_success().error_message());
  return result;
}

SendResult FromHttp(long status, std::optional<std::chrono::milliseconds> retry_after,
                    const std::string& body) {
  rpc::Status details;
  const bool parsed = !body.empty() && details.ParseFromString(body) && !details.message().empty();
  SendResult result;
  result.error = absl::StrCat("HTTP status ", status, body.empty() ? "" : ": ",
                              Short(parsed ? details.message() : body));
  switch (status) {
    case 429:
    case 502:
    case 503:
    case 504:
      result.verdict = SendResult::kRetry;
      result.retry_after = retry_after;
      break;
    case 400:
    case 413:
    case 422:
    case 500:
      result.verdict = SendResult::kSplit;
      break;
    default:
      result.verdict = SendResult::kRefused;
  }
  return result;
}

SendResult FromGrpc(int code, const std::string& message, const std::string& details) {
  SendResult result;
  result.error = absl::StrCat("gRPC status ", code, ": ", Short(message));
  rpc::Status status;
  if (status.ParseFromString(details))
    result.retry_after = RetryDelay(status);
  switch (code) {
    case kCancelled:
    case kDeadlineExceeded:
    case kAborted:
    case kOutOfRange:
    case kUnavailable:
    case kDataLoss:
      result.verdict = SendResult::kRetry;
      break;
    case kResourceExhausted:
      // Without a time for the next attempt, the request was too large for the server.
      result.verdict = result.retry_after ? SendResult::kRetry : SendResult::kSplit;
      break;
    case kInvalidArgument:
    case kInternal:
      result.verdict = SendResult::kSplit;
      break;
    default:
      result.verdict = SendResult::kRefused;
  }
  return result;
}

}  // namespace sandpiper
