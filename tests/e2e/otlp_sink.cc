// SPDX-License-Identifier: Apache-2.0
// otlp_sink grpc PORT [options]: an OTLP server over gRPC. It prints "ready" and then one JSON
// object for each request. That of an accepted request is {"metadata":{…},"logs"|"metrics":{…}},
// that of a rejected one is {"code":N,"rejected_logs"|"rejected_metrics":{…}}.
//
// otlp_sink logs|metrics: reads a serialized request from stdin and prints it as JSON.
#include <google/protobuf/util/json_util.h>
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <mutex>
#include <string>
#include <vector>

#include "opentelemetry/proto/collector/logs/v1/logs_service.grpc.pb.h"
#include "opentelemetry/proto/collector/metrics/v1/metrics_service.grpc.pb.h"
#include "rpc_status.pb.h"

namespace {

namespace collector = opentelemetry::proto::collector;

std::string ToJson(const google::protobuf::Message& message) {
  std::string out;
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_enums_as_ints = true;
  if (!google::protobuf::util::MessageToJsonString(message, &out, options).ok())
    return "null";  // a string is no UTF-8, for example
  return out;
}

struct Options {
  int port = 0;
  std::string address = "127.0.0.1";
  std::vector<int> codes;
  int retry_after_ms = -1;
  std::string answer;
  std::vector<std::string> tls;
};

Options options;
std::mutex mutex;
size_t requests = 0;

// With --retry-after-ms, the status has a RetryInfo.
grpc::Status Rejection(int code) {
  std::string details;
  if (options.retry_after_ms >= 0) {
    sandpiper::rpc::RetryInfo info;
    info.mutable_retry_delay()->set_nanos(options.retry_after_ms * 1'000'000);
    sandpiper::rpc::Status status;
    google::protobuf::Any* const detail = status.add_details();
    detail->set_type_url("type.googleapis.com/google.rpc.RetryInfo");
    detail->set_value(info.SerializeAsString());
    details = status.SerializeAsString();
  }
  return {static_cast<grpc::StatusCode>(code), "rejected by --codes", details};
}

// Makes the response to an accepted request huge or invalid, as --answer says.
template <typename Response>
void CorruptResponse(grpc::ServerContext* context, Response* response) {
  constexpr size_t kLarge = 5 << 20;
  constexpr size_t kHuge = 400 << 20;
  if (options.answer == "large")
    response->mutable_partial_success()->set_error_message(std::string(kLarge, 'x'));
  if (options.answer == "garbage")
    response->GetReflection()->MutableUnknownFields(response)->AddLengthDelimited(1,
                                                                                  "\xff\xff\xff");
  if (options.answer == "bomb") {
    context->set_compression_algorithm(GRPC_COMPRESS_GZIP);
    response->mutable_partial_success()->set_error_message(std::string(kHuge, 'x'));
  }
}

template <typename Response>
grpc::Status HandleRequest(const char* signal, grpc::ServerContext* context,
                           const google::protobuf::Message& request, Response* response) {
  const std::lock_guard lock(mutex);
  const int code = requests < options.codes.size() ? options.codes[requests] : 0;
  ++requests;
  if (code != 0) {
    printf("{\"code\":%d,\"rejected_%s\":%s}\n", code, signal, ToJson(request).c_str());
    fflush(stdout);
    return Rejection(code);
  }
  printf("{\"metadata\":{");
  const char* comma = "";
  for (const auto& [key, value] : context->client_metadata()) {
    printf("%s\"%.*s\":\"%.*s\"", comma, static_cast<int>(key.size()), key.data(),
           static_cast<int>(value.size()), value.data());
    comma = ",";
  }
  printf("},\"%s\":%s}\n", signal, ToJson(request).c_str());
  fflush(stdout);
  CorruptResponse(context, response);
  return grpc::Status::OK;
}

class Logs final : public collector::logs::v1::LogsService::Service {
  grpc::Status Export(grpc::ServerContext* context,
                      const collector::logs::v1::ExportLogsServiceRequest* request,
                      collector::logs::v1::ExportLogsServiceResponse* response) override {
    return HandleRequest("logs", context, *request, response);
  }
};

class Metrics final : public collector::metrics::v1::MetricsService::Service {
  grpc::Status Export(grpc::ServerContext* context,
                      const collector::metrics::v1::ExportMetricsServiceRequest* request,
                      collector::metrics::v1::ExportMetricsServiceResponse* response) override {
    return HandleRequest("metrics", context, *request, response);
  }
};

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::shared_ptr<grpc::ServerCredentials> Credentials() {
  if (options.tls.empty())
    return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions ssl(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  ssl.pem_key_cert_pairs.push_back({ReadFile(options.tls[1]), ReadFile(options.tls[0])});
  ssl.pem_root_certs = ReadFile(options.tls[2]);
  return grpc::SslServerCredentials(ssl);
}

int Serve() {
  Logs logs;
  Metrics metrics;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(options.address + ":" + std::to_string(options.port), Credentials());
  builder.RegisterService(&logs);
  builder.RegisterService(&metrics);
  const auto server = builder.BuildAndStart();
  if (!server)
    return 1;
  puts("ready");
  fflush(stdout);
  server->Wait();
  return 0;
}

template <typename Request>
int Decode() {
  const std::string body(std::istreambuf_iterator<char>(std::cin), {});
  Request request;
  if (!request.ParseFromString(body)) {
    fprintf(stderr, "otlp_sink: stdin is no such request\n");
    return 1;
  }
  puts(ToJson(request).c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("A receiver for OTLP");
  app.require_subcommand(1);
  CLI::App* const serve = app.add_subcommand("grpc", "serve");
  serve->add_option("port", options.port)->required();
  serve->add_option("--address", options.address);
  serve->add_option("--codes", options.codes, "status codes for the first requests; 0 accepts one")
      ->delimiter(',');
  serve->add_option("--retry-after-ms", options.retry_after_ms,
                    "adds a RetryInfo to every rejection");
  serve->add_option("--answer", options.answer, "a huge or invalid body for accepted requests")
      ->check(CLI::IsMember({"large", "garbage", "bomb"}));
  serve
      ->add_option("--tls", options.tls,
                   "certificate, key, CA; accepts only clients with a certificate of this CA")
      ->expected(3);
  CLI::App* const logs = app.add_subcommand("logs", "decode");
  app.add_subcommand("metrics", "decode");
  CLI11_PARSE(app, argc, argv);
  if (*serve)
    return Serve();
  return *logs ? Decode<collector::logs::v1::ExportLogsServiceRequest>()
               : Decode<collector::metrics::v1::ExportMetricsServiceRequest>();
}
