// otlp_sink grpc PORT [FAIL [CERTIFICATE KEY CA]]: an OTLP server on loopback; prints "ready", then one JSON object a request:
// {"metadata":{…},"logs"|"metrics":{…}}.
//   FAIL: the first so many requests are answered UNAVAILABLE. With the three files: TLS, and only for clients whose certificate is of that
//   CA.
// otlp_sink logs|metrics: reads a serialized request from stdin and prints it as JSON.
#include <google/protobuf/util/json_util.h>
#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <mutex>
#include <string>

#include "opentelemetry/proto/collector/logs/v1/logs_service.grpc.pb.h"
#include "opentelemetry/proto/collector/metrics/v1/metrics_service.grpc.pb.h"

namespace {

namespace collector = opentelemetry::proto::collector;

std::string ToJson(const google::protobuf::Message& message) {
  std::string out;
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_enums_as_ints = true;
  if (!google::protobuf::util::MessageToJsonString(message, &out, options).ok())
    return "null";  // as for a string that is not UTF-8
  return out;
}

std::mutex mutex;
int failures_left = 0;

grpc::Status Take(const char* signal, grpc::ServerContext* context, const google::protobuf::Message& request) {
  const std::lock_guard lock(mutex);
  if (failures_left > 0) {
    --failures_left;
    return {grpc::StatusCode::UNAVAILABLE, "not yet"};
  }
  printf("{\"metadata\":{");
  const char* comma = "";
  for (const auto& [key, value] : context->client_metadata()) {
    printf("%s\"%.*s\":\"%.*s\"", comma, static_cast<int>(key.size()), key.data(), static_cast<int>(value.size()), value.data());
    comma = ",";
  }
  printf("},\"%s\":%s}\n", signal, ToJson(request).c_str());
  fflush(stdout);
  return grpc::Status::OK;
}

class Logs final : public collector::logs::v1::LogsService::Service {
  grpc::Status Export(grpc::ServerContext* context, const collector::logs::v1::ExportLogsServiceRequest* request,
                      collector::logs::v1::ExportLogsServiceResponse*) override {
    return Take("logs", context, *request);
  }
};

class Metrics final : public collector::metrics::v1::MetricsService::Service {
  grpc::Status Export(grpc::ServerContext* context, const collector::metrics::v1::ExportMetricsServiceRequest* request,
                      collector::metrics::v1::ExportMetricsServiceResponse*) override {
    return Take("metrics", context, *request);
  }
};

std::string ReadFile(const char* path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::shared_ptr<grpc::ServerCredentials> Credentials(int argc, char** argv) {
  if (argc < 7)
    return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions options(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_key_cert_pairs.push_back({ReadFile(argv[5]), ReadFile(argv[4])});
  options.pem_root_certs = ReadFile(argv[6]);
  return grpc::SslServerCredentials(options);
}

template <typename Request>
int Decode() {
  const std::string body(std::istreambuf_iterator<char>(std::cin), {});
  Request request;
  if (!request.ParseFromString(body)) {
    fprintf(stderr, "otlp_sink: no such message\n");
    return 1;
  }
  puts(ToJson(request).c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "logs")
    return Decode<collector::logs::v1::ExportLogsServiceRequest>();
  if (what == "metrics")
    return Decode<collector::metrics::v1::ExportMetricsServiceRequest>();
  if (what != "grpc" || argc < 3)
    return 2;
  failures_left = argc > 3 ? atoi(argv[3]) : 0;
  Logs logs;
  Metrics metrics;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(std::string("127.0.0.1:") + argv[2], Credentials(argc, argv));
  builder.RegisterService(&logs);
  builder.RegisterService(&metrics);
  const auto server = builder.BuildAndStart();
  if (!server)
    return 1;
  puts("ready");
  fflush(stdout);
  server->Wait();
}
