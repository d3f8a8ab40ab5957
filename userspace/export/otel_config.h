// SPDX-License-Identifier: Apache-2.0
// The OTEL_* environment variables (OpenTelemetry specification,
// configuration/sdk-environment-variables.md and protocol/exporter.md).
#ifndef SANDPIPER_USERSPACE_EXPORT_OTEL_CONFIG_H_
#define SANDPIPER_USERSPACE_EXPORT_OTEL_CONFIG_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "userspace/aggregate/histogram.h"
#include "userspace/aggregate/log_record.h"

namespace sandpiper {

enum class Temporality { kCumulative, kDelta };

enum class OtlpProtocol { kGrpc, kHttpProtobuf };

// Where one signal goes.
struct OtlpEndpoint {
  OtlpProtocol protocol = OtlpProtocol::kHttpProtobuf;
  // http/protobuf: the whole URL to post to. grpc: a gRPC target, without the http:// or https://
  // that stood before it.
  std::string target;
  std::string unix_socket;  // http/protobuf: connect to this path; empty: to where the URL says
  bool tls = false;
  std::vector<std::pair<std::string, std::string>> headers;  // keys in lower case
  std::chrono::milliseconds timeout{10'000};                 // of one attempt; 0: none
  std::string ca_file;                                       // empty: the system's
  std::string client_certificate_file, client_key_file;      // empty: no client certificate
  bool gzip = false;
};

struct SignalConfig {
  // Absent: nothing is sent and no connection made.
  std::optional<OtlpEndpoint> otlp;
  bool console = false;
  // Metrics only: where to listen, as "127.0.0.1:9464".
  std::optional<std::string> prometheus;
};

struct OtelConfig {
  SignalConfig logs, metrics;
  std::vector<Attribute> resource;  // service.name and what OTEL_RESOURCE_ATTRIBUTES adds
  std::chrono::milliseconds metric_interval{60'000};
  Temporality temporality = Temporality::kCumulative;
  HistogramKind histograms = HistogramKind::kExplicit;
  std::chrono::milliseconds log_delay{1'000};
  size_t log_queue_max = 2048;  // records
  size_t log_batch_max = 512;   // records
  // Of a log record.
  size_t attribute_count_max = 128;
  size_t attribute_characters_max = std::numeric_limits<size_t>::max();
};

// Reads a variable; empty counts as unset. The process's own environment in production.
using GetEnv = std::function<std::string(const char* name)>;

// A value that is not understood is a line in `warnings` and its default, as OpenTelemetry asks.
OtelConfig ReadOtelConfig(const GetEnv& get_env, std::vector<std::string>* warnings);

// "k=v,k=v": the first '=' of a segment splits; segments without a key or value are skipped
// (OpenSandbox's *_EXTRA_ATTRS).
std::vector<Attribute> ParseExtraAttributes(const std::string& text);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_OTEL_CONFIG_H_
