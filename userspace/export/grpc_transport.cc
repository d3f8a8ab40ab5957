// SPDX-License-Identifier: Apache-2.0
#include <grpc/support/log.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <chrono>
#include <cstdlib>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "userspace/base/version.h"
#include "userspace/export/gzip.h"
#include "userspace/export/response.h"
#include "userspace/export/transport.h"

namespace sandpiper {
namespace {

// Interval in which certificate files are checked for changes.
constexpr unsigned kCertificateSeconds = 10;
// Minimum time between two lookups of the endpoint's name; it is looked up if its address does not
// answer.
constexpr int kNameMilliseconds = 10'000;
// The response size at which gRPC itself reports an error. That error looks like the one of a
// server for a request that is too large, which we would divide and send again. This is larger than
// kResponseMax, so that we can see that such a request was accepted.
constexpr int kReadMax = 64 << 20;

const char* Method(Signal signal) {
  return signal == Signal::kLogs
             ? "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
             : "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
}

std::shared_ptr<grpc::ChannelCredentials> Credentials(const OtlpEndpoint& endpoint) {
  if (!endpoint.tls)
    return grpc::InsecureChannelCredentials();
  const bool identity = !endpoint.client_certificate_file.empty();
  if (endpoint.ca_file.empty() && !identity)
    return grpc::SslCredentials({});
  grpc::experimental::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(
      std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
          endpoint.client_key_file, endpoint.client_certificate_file, endpoint.ca_file,
          kCertificateSeconds));
  if (!endpoint.ca_file.empty())
    options.watch_root_certs();
  if (identity)
    options.watch_identity_key_cert_pairs();
  return grpc::experimental::TlsCredentials(options);
}

std::string Text(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string out;
  if (!buffer.Valid() || !buffer.Dump(&slices).ok())
    return out;
  for (const grpc::Slice& slice : slices)
    out.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return out;
}

// Servers compress if we do. gRPC's own decompression has no size limit, so it is off.
SendResult ReadAnswer(const std::string& answer) {
  if (!IsGzip(answer))
    return answer.size() > kResponseMax ? UnreadResponse("longer than 4 MiB")
                                        : ReadResponse(answer);
  const auto inflated = Gunzip(answer, kResponseMax);
  return inflated ? ReadResponse(*inflated) : UnreadResponse("broken, or longer than 4 MiB");
}

// Uses gRPC's generic stub: requests are already serialized.
class GrpcTransport : public OtlpTransport {
 public:
  GrpcTransport(const OtlpEndpoint& endpoint, Signal signal)
      : endpoint_(endpoint), method_(Method(signal)) {
    // The caller reports errors. gRPC's own log messages are shown only if GRPC_VERBOSITY is set.
    if (!getenv("GRPC_VERBOSITY"))
      gpr_set_log_function([](gpr_log_func_args*) {});
    grpc::ChannelArguments arguments;
    arguments.SetUserAgentPrefix(absl::StrCat("sandpiper/", kVersion));
    arguments.SetMaxReceiveMessageSize(kReadMax);
    arguments.SetInt(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
    arguments.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, kNameMilliseconds);
    stub_ = std::make_unique<grpc::GenericStub>(
        grpc::CreateCustomChannel(endpoint.target, Credentials(endpoint), arguments));
  }
  ~GrpcTransport() override {
    queue_.Shutdown();
    void* tag;
    bool ok;
    while (queue_.Next(&tag, &ok)) {
    }
  }

  SendResult Send(const std::string& request) override {
    grpc::ClientContext context;
    for (const auto& [key, value] : endpoint_.headers)
      context.AddMetadata(key, value);
    if (endpoint_.timeout.count() > 0)
      context.set_deadline(std::chrono::system_clock::now() + endpoint_.timeout);
    if (endpoint_.gzip)
      context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
    const grpc::Slice slice(request);
    const grpc::ByteBuffer bytes(&slice, 1);
    grpc::ByteBuffer answer;
    grpc::Status status;
    SetCurrent(&context);
    const auto call = stub_->PrepareUnaryCall(&context, method_, bytes, &queue_);
    call->StartCall();
    call->Finish(&answer, &status, nullptr);
    void* tag;
    bool ok;
    queue_.Next(&tag, &ok);
    SetCurrent(nullptr);
    if (status.ok())
      return ReadAnswer(Text(answer));
    return FromGrpc(status.error_code(), status.error_message(), status.error_details());
  }

  void Cancel() override {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    if (current_)
      current_->TryCancel();
  }

 private:
  void SetCurrent(grpc::ClientContext* context) {
    const std::lock_guard lock(mutex_);
    current_ = context;
    if (current_ && cancelled_)
      current_->TryCancel();
  }

  OtlpEndpoint endpoint_;
  std::string method_;
  std::unique_ptr<grpc::GenericStub> stub_;
  grpc::CompletionQueue queue_;
  std::mutex mutex_;
  grpc::ClientContext* current_ = nullptr;  // of the running call
  bool cancelled_ = false;
};

}  // namespace

std::unique_ptr<OtlpTransport> MakeGrpcTransport(const OtlpEndpoint& endpoint, Signal signal) {
  return std::make_unique<GrpcTransport>(endpoint, signal);
}

absl::StatusOr<std::unique_ptr<OtlpTransport>> MakeTransport(const OtlpEndpoint& endpoint,
                                                             Signal signal) {
  if (endpoint.protocol == OtlpProtocol::kGrpc)
    return MakeGrpcTransport(endpoint, signal);
  return MakeHttpTransport(endpoint, signal);
}

}  // namespace sandpiper
