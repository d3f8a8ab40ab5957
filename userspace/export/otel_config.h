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

// The OTLP endpoint of one signal.
struct OtlpEndpoint {
  OtlpProtocol protocol = OtlpProtocol::kHttpProtobuf;
  // http/protobuf: the complete URL for POST. grpc: a gRPC target, without http:// or https://.
  std::string target;
  std::string unix_socket;  // http/protobuf: connect to this path; empty: to the URL's host
  bool tls = false;
  std::vector<std::pair<std::string, std::string>> headers;  // keys in lower case
  std::chrono::milliseconds timeout{10'000};                 // for one attempt; 0: none
  std::string ca_file;                                       // empty: those of the system
  std::string client_certificate_file, client_key_file;      // empty: no client certificate
  bool gzip = false;
};

struct SignalConfig {
  // Absent: nothing is sent, and no connection is opened.
  std::optional<OtlpEndpoint> otlp;
  bool console = false;
  // Metrics only: the address to listen at, such as "127.0.0.1:9464".
  std::optional<std::string> prometheus;
};

struct OtelConfig {
  SignalConfig logs, metrics;
  std::vector<Attribute> resource;  // service.name and the attributes of OTEL_RESOURCE_ATTRIBUTES
  std::chrono::milliseconds metric_interval{60'000};
  Temporality temporality = Temporality::kCumulative;
  HistogramKind histograms = HistogramKind::kExplicit;
  std::chrono::milliseconds log_delay{1'000};
  size_t log_queue_max = 2048;  // records
  size_t log_batch_max = 512;   // records
  // For each log record.
  size_t attribute_count_max = 128;
  size_t attribute_characters_max = std::numeric_limits<size_t>::max();
};

// Reads an environment variable; empty means unset. Tests give their own environment.
using GetEnv = std::function<std::string(const char* name)>;

// An invalid value adds a line to `warnings`, and the default is used (OpenTelemetry's rule).
OtelConfig ReadOtelConfig(const GetEnv& get_env, std::vector<std::string>* warnings);

// Parses "k=v,k=v", as in OpenSandbox's *_EXTRA_ATTRS. The first '=' of a segment separates key and
// value. Segments without a key or a value are skipped.
std::vector<Attribute> ParseExtraAttributes(const std::string& text);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_OTEL_CONFIG_H_
