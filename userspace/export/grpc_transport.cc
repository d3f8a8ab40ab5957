#include <grpcpp/grpcpp.h>

#include <chrono>
#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "opentelemetry/proto/collector/logs/v1/logs_service.grpc.pb.h"
#include "opentelemetry/proto/collector/metrics/v1/metrics_service.grpc.pb.h"
#include "userspace/base/version.h"
#include "userspace/export/transport.h"

namespace sandpiper {
namespace {

namespace collector = opentelemetry::proto::collector;

// The table of opentelemetry-proto docs/specification.md, "Failures". RESOURCE_EXHAUSTED may be retried only if the server says when.
bool MayRetry(const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::CANCELLED:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
    case grpc::StatusCode::ABORTED:
    case grpc::StatusCode::OUT_OF_RANGE:
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::DATA_LOSS:
      return true;
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return status.error_details().find("google.rpc.RetryInfo") != std::string::npos;
    default:
      return false;
  }
}

class GrpcTransport : public OtlpTransport {
 public:
  explicit GrpcTransport(const OtlpEndpoint& endpoint) : endpoint_(endpoint) {
    grpc::ChannelArguments arguments;
    arguments.SetUserAgentPrefix(absl::StrCat("sandpiper/", kVersion));
    std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
    if (endpoint.tls) {
      grpc::SslCredentialsOptions options;
      if (!endpoint.ca_file.empty()) {
        std::ifstream file(endpoint.ca_file, std::ios::binary);
        options.pem_root_certs.assign(std::istreambuf_iterator<char>(file), {});
      }
      credentials = grpc::SslCredentials(options);
    }
    const auto channel = grpc::CreateCustomChannel(endpoint.target, credentials, arguments);
    logs_ = collector::logs::v1::LogsService::NewStub(channel);
    metrics_ = collector::metrics::v1::MetricsService::NewStub(channel);
  }

  SendResult Send(const OtlpLogs& request) override {
    OtlpLogsResponse response;
    return Call([&](grpc::ClientContext* context) { return logs_->Export(context, request, &response); },
                [&] { return response.partial_success().rejected_log_records(); },
                [&] { return response.partial_success().error_message(); });
  }

  SendResult Send(const OtlpMetrics& request) override {
    OtlpMetricsResponse response;
    return Call([&](grpc::ClientContext* context) { return metrics_->Export(context, request, &response); },
                [&] { return response.partial_success().rejected_data_points(); },
                [&] { return response.partial_success().error_message(); });
  }

 private:
  template <typename Export, typename Rejected, typename Message>
  SendResult Call(Export call, Rejected rejected, Message message) {
    grpc::ClientContext context;
    for (const auto& [key, value] : endpoint_.headers)
      context.AddMetadata(key, value);
    if (endpoint_.timeout.count() > 0)
      context.set_deadline(std::chrono::system_clock::now() + endpoint_.timeout);
    const grpc::Status status = call(&context);
    if (status.ok())
      return {.verdict = SendResult::kSent, .rejected = static_cast<uint64_t>(rejected()), .error = message()};
    return {.verdict = MayRetry(status) ? SendResult::kRetry : SendResult::kRefused,
            .rejected = 0,
            .error = absl::StrCat("gRPC status ", static_cast<int>(status.error_code()), ": ", status.error_message())};
  }

  OtlpEndpoint endpoint_;
  std::unique_ptr<collector::logs::v1::LogsService::Stub> logs_;
  std::unique_ptr<collector::metrics::v1::MetricsService::Stub> metrics_;
};

}  // namespace

std::unique_ptr<OtlpTransport> MakeGrpcTransport(const OtlpEndpoint& endpoint) { return std::make_unique<GrpcTransport>(endpoint); }

std::unique_ptr<OtlpTransport> MakeTransport(const OtlpEndpoint& endpoint) {
  return endpoint.protocol == OtlpProtocol::kGrpc ? MakeGrpcTransport(endpoint) : MakeHttpTransport(endpoint);
}

}  // namespace sandpiper
