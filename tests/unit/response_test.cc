// SPDX-License-Identifier: Apache-2.0
// Tests the reaction to each answer of an OTLP endpoint.
#include "userspace/export/response.h"

#include <gtest/gtest.h>

#include <set>

#include "opentelemetry/proto/collector/metrics/v1/metrics_service.pb.h"
#include "rpc_status.pb.h"

namespace sandpiper {
namespace {

using std::chrono::milliseconds;

std::string StatusWithDelay(int64_t seconds, int32_t nanos) {
  rpc::RetryInfo info;
  info.mutable_retry_delay()->set_seconds(seconds);
  info.mutable_retry_delay()->set_nanos(nanos);
  rpc::Status status;
  status.set_message("slow down");
  auto* other = status.add_details();
  other->set_type_url("type.googleapis.com/google.rpc.DebugInfo");
  other->set_value("x");
  auto* detail = status.add_details();
  detail->set_type_url("type.googleapis.com/google.rpc.RetryInfo");
  detail->set_value(info.SerializeAsString());
  return status.SerializeAsString();
}

TEST(Response, FourHttpStatusesAreRetried) {
  const std::set<long> retried = {429, 502, 503, 504};
  for (long status = 300; status < 600; ++status) {
    const SendResult result = FromHttp(status, milliseconds(3000), "");
    EXPECT_EQ(result.verdict == SendResult::kRetry, retried.contains(status)) << status;
    EXPECT_EQ(result.retry_after.has_value(), retried.contains(status)) << status;
  }
  for (const long status : {400, 413, 422, 500})
    EXPECT_EQ(FromHttp(status, std::nullopt, "").verdict, SendResult::kSplit) << status;
  for (const long status : {401, 403, 404, 405, 415, 501})
    EXPECT_EQ(FromHttp(status, std::nullopt, "").verdict, SendResult::kRefused) << status;
}

TEST(Response, HttpBodyIsShortenedAndEscaped) {
  rpc::Status status;
  status.set_code(3);
  status.set_message("bad\npoint");
  EXPECT_EQ(FromHttp(400, std::nullopt, status.SerializeAsString()).error,
            "HTTP status 400: bad\\x0apoint");
  EXPECT_EQ(FromHttp(401, std::nullopt, "no org id").error, "HTTP status 401: no org id");
  EXPECT_LT(FromHttp(500, std::nullopt, std::string(1 << 20, '\x1b')).error.size(), 1000u);
}

TEST(Response, GrpcCodesHaveExpectedVerdict) {
  const std::set<int> retried = {1, 4, 10, 11, 14, 15};
  for (int code = 1; code <= 16; ++code)
    EXPECT_EQ(FromGrpc(code, "m", "").verdict == SendResult::kRetry, retried.contains(code))
        << code;
  EXPECT_EQ(FromGrpc(3, "m", "").verdict, SendResult::kSplit);
  EXPECT_EQ(FromGrpc(16, "m", "").verdict, SendResult::kRefused);
}

TEST(Response, ResourceExhaustedIsRetriedOnlyWithDelay) {
  EXPECT_EQ(FromGrpc(8, "too large", "").verdict, SendResult::kSplit);
  EXPECT_EQ(FromGrpc(8, "too large", "no status").verdict, SendResult::kSplit);
  const SendResult result = FromGrpc(8, "busy", StatusWithDelay(2, 500'000'000));
  EXPECT_EQ(result.verdict, SendResult::kRetry);
  EXPECT_EQ(result.retry_after, milliseconds(2500));
  EXPECT_EQ(FromGrpc(14, "away", StatusWithDelay(-5, 0)).retry_after, milliseconds(0));
}

TEST(Response, PartialSuccessOfBothSignals) {
  opentelemetry::proto::collector::metrics::v1::ExportMetricsServiceResponse response;
  response.mutable_partial_success()->set_rejected_data_points(7);
  response.mutable_partial_success()->set_error_message("too old");
  const SendResult result = ReadResponse(response.SerializeAsString());
  EXPECT_EQ(result.verdict, SendResult::kSent);
  EXPECT_EQ(result.rejected, 7u);
  EXPECT_EQ(result.error, "too old");
  for (const char* answer : {"", "\xff\xff garbage", "{\"partialSuccess\":{}}"}) {
    EXPECT_EQ(ReadResponse(answer).verdict, SendResult::kSent);
    EXPECT_EQ(ReadResponse(answer).rejected, 0u);
  }
}

}  // namespace
}  // namespace sandpiper
