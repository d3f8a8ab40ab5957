// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/otel_config.h"

#include <algorithm>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "userspace/base/text.h"
#include "userspace/export/environment_reader.h"

namespace sandpiper {
namespace {

struct Url {
  std::string scheme, rest;  // "http", "host:4318/path"
};

Url SplitUrl(const std::string& text) {
  const size_t end = text.find("://");
  if (end == std::string::npos)
    return {"", text};
  return {absl::AsciiStrToLower(text.substr(0, end)), text.substr(end + 3)};
}

std::optional<std::string> HttpTarget(const EnvironmentReader& env, const std::string& name,
                                      const std::string& value, const char* path, bool per_signal) {
  const Url url = SplitUrl(value);
  if ((url.scheme != "http" && url.scheme != "https") || url.rest.empty()) {
    env.Warn(name, value, "not an http://, https:// or unix:// URL; nothing is sent");
    return std::nullopt;
  }
  if (per_signal) {
    if (url.rest.find('/') != std::string::npos)
      return value;
    env.Warn(
        name, value,
        absl::StrCat("no path is appended to the URL of a single signal, so records are posted "
                     "to /; did you mean /",
                     path, "?"));
    return value + "/";
  }
  return absl::StrCat(value, absl::EndsWith(value, "/") ? "" : "/", path);
}

void GrpcTarget(const EnvironmentReader& env, const char* signal, const std::string& name,
                const std::string& value, OtlpEndpoint* endpoint) {
  const Url url = SplitUrl(value);
  if (url.scheme != "http" && url.scheme != "https") {
    // A target in gRPC's syntax: dns:///…, unix:///…, host:port.
    std::string insecure_name;
    endpoint->target = value;
    const std::string insecure = env.GetOtlp(signal, "INSECURE", &insecure_name);
    // A unix socket cannot be intercepted on the network, so TLS is off there by default.
    const bool by_default =
        absl::StartsWith(value, "unix:") || absl::StartsWith(value, "unix-abstract:");
    endpoint->tls = insecure.empty() ? !by_default : !absl::EqualsIgnoreCase(insecure, "true");
    return;
  }
  endpoint->tls = url.scheme == "https";
  endpoint->target = url.rest.substr(0, url.rest.find('/'));
  if (const size_t at = endpoint->target.rfind('@'); at != std::string::npos) {
    // gRPC would take it for a part of the host name, and show it in errors.
    endpoint->target.erase(0, at + 1);
    env.Warn(name, value, "gRPC sends no user and password of a URL; use headers");
  }
  const size_t bracket = endpoint->target.rfind(']');
  if (endpoint->target.find(':', bracket == std::string::npos ? 0 : bracket) == std::string::npos) {
    endpoint->target += ":4317";
    env.Warn(name, value, "no port; 4317 is used");
  }
}

// Reads all settings of an endpoint except its address.
OtlpEndpoint ReadTransport(const EnvironmentReader& env, const char* signal,
                           OtlpEndpoint endpoint) {
  std::string name;
  const std::string headers = env.GetOtlp(signal, "HEADERS", &name);
  endpoint.headers = env.Headers(name, headers);
  const std::string timeout = env.GetOtlp(signal, "TIMEOUT", &name);
  env.Number(name, timeout, &endpoint.timeout);
  endpoint.ca_file = env.GetOtlp(signal, "CERTIFICATE", &name);
  const std::string compression = env.GetOtlp(signal, "COMPRESSION", &name);
  endpoint.gzip = absl::EqualsIgnoreCase(compression, "gzip");
  if (!endpoint.gzip && !compression.empty() && !absl::EqualsIgnoreCase(compression, "none"))
    env.Warn(name, compression, "neither gzip nor none; requests are not compressed");
  endpoint.client_certificate_file = env.GetOtlp(signal, "CLIENT_CERTIFICATE", &name);
  endpoint.client_key_file = env.GetOtlp(signal, "CLIENT_KEY", &name);
  if (endpoint.client_certificate_file.empty() != endpoint.client_key_file.empty()) {
    env.Warn(name, endpoint.client_key_file,
             "a client certificate needs both its file and its key; neither is used");
    endpoint.client_certificate_file.clear();
    endpoint.client_key_file.clear();
  }
  return endpoint;
}

std::optional<OtlpEndpoint> ReadEndpoint(const EnvironmentReader& env, const char* signal,
                                         const char* path) {
  OtlpEndpoint endpoint;
  std::string name;
  const std::string protocol = env.GetOtlp(signal, "PROTOCOL", &name);
  if (absl::EqualsIgnoreCase(protocol, "grpc"))
    endpoint.protocol = OtlpProtocol::kGrpc;
  else if (!protocol.empty() && !absl::EqualsIgnoreCase(protocol, "http/protobuf"))
    env.Warn(name, protocol, "neither grpc nor http/protobuf; http/protobuf is used");

  const std::string value = env.GetOtlp(signal, "ENDPOINT", &name);
  if (value.empty())
    return std::nullopt;
  if (endpoint.protocol == OtlpProtocol::kGrpc) {
    GrpcTarget(env, signal, name, value, &endpoint);
  } else {
    if (const Url url = SplitUrl(value); url.scheme == "unix") {
      endpoint.unix_socket = url.rest;
      endpoint.target = absl::StrCat("http://localhost/", path);
      return ReadTransport(env, signal, std::move(endpoint));
    }
    const bool per_signal = name != "OTEL_EXPORTER_OTLP_ENDPOINT";
    const auto target = HttpTarget(env, name, value, path, per_signal);
    if (!target)
      return std::nullopt;
    endpoint.target = *target;
  }
  return ReadTransport(env, signal, std::move(endpoint));
}

// The address to serve /metrics at. The library takes addresses, not names.
std::string ReadPrometheus(const EnvironmentReader& env) {
  std::string host = env.Get("OTEL_EXPORTER_PROMETHEUS_HOST");
  if (host.empty() || host == "localhost")
    host = "127.0.0.1";
  if (host.find(':') != std::string::npos && !absl::StartsWith(host, "["))
    host = absl::StrCat("[", host, "]");
  uint16_t port = 9464;
  env.Number("OTEL_EXPORTER_PROMETHEUS_PORT", env.Get("OTEL_EXPORTER_PROMETHEUS_PORT"), &port);
  return absl::StrCat(host, ":", port);
}

SignalConfig ReadSignal(const EnvironmentReader& env, const char* signal, const char* path) {
  SignalConfig config;
  const bool metrics = std::string_view(signal) == "METRICS";
  const std::string name = absl::StrCat("OTEL_", signal, "_EXPORTER");
  const std::string value = env.Get(name);
  bool otlp = value.empty();
  for (const absl::string_view exporter : absl::StrSplit(value, ',', absl::SkipWhitespace())) {
    const std::string choice = absl::AsciiStrToLower(absl::StripAsciiWhitespace(exporter));
    if (choice == "otlp") {
      otlp = true;
    } else if (choice == "console") {
      config.console = true;
    } else if (choice == "prometheus" && metrics) {
      config.prometheus = ReadPrometheus(env);
    } else if (choice != "none") {
      env.Warn(name, value, absl::StrCat("unknown exporter ", Escape(choice), "; otlp is used"));
      otlp = true;
    }
  }
  if (otlp)
    config.otlp = ReadEndpoint(env, signal, path);
  return config;
}

void ReadAggregation(const EnvironmentReader& env, OtelConfig* config) {
  const std::string temporality_name = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
  const std::string temporality = env.Get(temporality_name);
  // "LowMemory" means delta for synchronous instruments, and all our counters count as such.
  if (absl::EqualsIgnoreCase(temporality, "delta") ||
      absl::EqualsIgnoreCase(temporality, "lowmemory"))
    config->temporality = Temporality::kDelta;
  else if (!temporality.empty() && !absl::EqualsIgnoreCase(temporality, "cumulative"))
    env.Warn(temporality_name, temporality,
             "not cumulative, delta or lowmemory; cumulative is used");
  const std::string histogram_name = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION";
  const std::string histogram = env.Get(histogram_name);
  if (absl::EqualsIgnoreCase(histogram, "base2_exponential_bucket_histogram")) {
    if (config->metrics.prometheus)
      env.Warn(histogram_name, histogram,
               "not supported by the text format of Prometheus; explicit buckets are used");
    else
      config->histograms = HistogramKind::kExponential;
  } else if (!histogram.empty() &&
             !absl::EqualsIgnoreCase(histogram, "explicit_bucket_histogram")) {
    env.Warn(histogram_name, histogram, "unknown histogram; explicit_bucket_histogram is used");
  }
}

}  // namespace

OtelConfig ReadOtelConfig(const GetEnv& get_env, std::vector<std::string>* warnings) {
  const EnvironmentReader env(get_env, warnings);
  OtelConfig config;
  const std::string disabled = env.Get("OTEL_SDK_DISABLED");
  if (!disabled.empty() && !absl::EqualsIgnoreCase(disabled, "true") &&
      !absl::EqualsIgnoreCase(disabled, "false"))
    env.Warn("OTEL_SDK_DISABLED", disabled, "neither true nor false, false is used");
  if (!absl::EqualsIgnoreCase(disabled, "true")) {
    config.logs = ReadSignal(env, "LOGS", "v1/logs");
    config.metrics = ReadSignal(env, "METRICS", "v1/metrics");
  }
  ReadAggregation(env, &config);
  std::string service = "sandpiper";
  for (auto& [key, value] :
       env.Pairs("OTEL_RESOURCE_ATTRIBUTES", env.Get("OTEL_RESOURCE_ATTRIBUTES"))) {
    if (key == "service.name")
      service = value;
    else
      config.resource.push_back({SharedText(key), Escape(value)});
  }
  if (const std::string name = env.Get("OTEL_SERVICE_NAME"); !name.empty())
    service = name;
  config.resource.insert(config.resource.begin(), {"service.name", Escape(service)});
  env.Number("OTEL_METRIC_EXPORT_INTERVAL", env.Get("OTEL_METRIC_EXPORT_INTERVAL"),
             &config.metric_interval);
  env.Number("OTEL_BLRP_SCHEDULE_DELAY", env.Get("OTEL_BLRP_SCHEDULE_DELAY"), &config.log_delay);
  env.Number("OTEL_BLRP_MAX_QUEUE_SIZE", env.Get("OTEL_BLRP_MAX_QUEUE_SIZE"),
             &config.log_queue_max);
  env.Number("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", env.Get("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE"),
             &config.log_batch_max);
  for (const char* name : {"OTEL_ATTRIBUTE_COUNT_LIMIT", "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT"})
    env.Number(name, env.Get(name), &config.attribute_count_max);
  for (const char* name :
       {"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT"})
    env.Number(name, env.Get(name), &config.attribute_characters_max);
  config.metric_interval = std::max(config.metric_interval, std::chrono::milliseconds(1));
  config.log_queue_max = std::max<size_t>(config.log_queue_max, 1);
  config.log_batch_max = std::clamp<size_t>(config.log_batch_max, 1, config.log_queue_max);
  return config;
}

std::vector<Attribute> ParseExtraAttributes(const std::string& text) {
  std::vector<Attribute> out;
  for (const absl::string_view segment : absl::StrSplit(text, ',')) {
    const std::vector<std::string> halves = absl::StrSplit(segment, absl::MaxSplits('=', 1));
    if (halves.size() < 2)
      continue;
    const std::string key(absl::StripAsciiWhitespace(halves[0])),
        value(absl::StripAsciiWhitespace(halves[1]));
    if (!key.empty() && !value.empty())
      out.push_back({SharedText(Escape(key)), Escape(value)});
  }
  return out;
}

}  // namespace sandpiper
