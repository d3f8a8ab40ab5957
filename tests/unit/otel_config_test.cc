// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/otel_config.h"

#include <gtest/gtest.h>

#include <map>

#include "userspace/config/config.h"

namespace sandpiper {
namespace {

using Env = std::map<std::string, std::string>;

struct Read {
  OtelConfig config;
  std::vector<std::string> warnings;
};

Read Parse(const Env& env) {
  Read out;
  out.config = ReadOtelConfig(
      [&](const char* name) {
        const auto it = env.find(name);
        return it == env.end() ? "" : it->second;
      },
      &out.warnings);
  return out;
}

TEST(OtelConfig, EmptyEnvironmentSendsNothing) {
  const Read r = Parse({});
  EXPECT_FALSE(r.config.logs.otlp.has_value());
  EXPECT_FALSE(r.config.metrics.otlp.has_value());
  EXPECT_TRUE(r.warnings.empty());
  EXPECT_EQ(std::get<SharedText>(r.config.resource[0].value), "sandpiper");
}

TEST(OtelConfig, EmptyValueMeansUnset) {
  const Read r = Parse({{"OTEL_EXPORTER_OTLP_ENDPOINT", ""}, {"OTEL_EXPORTER_OTLP_TIMEOUT", " "}});
  EXPECT_FALSE(r.config.logs.otlp.has_value());
  EXPECT_TRUE(r.warnings.empty());
}

TEST(OtelConfig, BaseUrlGetsPathOfSignal) {
  for (const auto& [base, logs] : std::map<std::string, std::string>{
           {"http://c:4318", "http://c:4318/v1/logs"},
           {"http://c:4318/", "http://c:4318/v1/logs"},
           {"https://c/my/collector", "https://c/my/collector/v1/logs"},
           {"http://c:4318/my/", "http://c:4318/my/v1/logs"}})
    EXPECT_EQ(Parse({{"OTEL_EXPORTER_OTLP_ENDPOINT", base}}).config.logs.otlp->target, logs);
}

TEST(OtelConfig, UrlOfOneSignalIsUsedUnchanged) {
  Read r = Parse({{"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://loki:3100/otlp/v1/logs"}});
  EXPECT_EQ(r.config.logs.otlp->target, "http://loki:3100/otlp/v1/logs");
  EXPECT_FALSE(r.config.metrics.otlp.has_value());
  EXPECT_TRUE(r.warnings.empty());
  r = Parse({{"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://c:4318"}});
  EXPECT_EQ(r.config.logs.otlp->target, "http://c:4318/");
  EXPECT_EQ(r.warnings.size(), 1u);
}

TEST(OtelConfig, GrpcTargetsAndTls) {
  const auto grpc = [](const std::string& endpoint, const std::string& insecure = "") {
    return *Parse({{"OTEL_EXPORTER_OTLP_PROTOCOL", "GRPC"},
                   {"OTEL_EXPORTER_OTLP_ENDPOINT", endpoint},
                   {"OTEL_EXPORTER_OTLP_INSECURE", insecure}})
                .config.metrics.otlp;
  };
  EXPECT_EQ(grpc("http://c:4317/ignored").target, "c:4317");
  EXPECT_FALSE(grpc("http://c:4317").tls);
  EXPECT_TRUE(grpc("https://c:4317").tls);
  EXPECT_FALSE(grpc("http://c:4317", "false").tls);
  EXPECT_EQ(grpc("http://c").target, "c:4317");
  EXPECT_EQ(grpc("http://[::1]").target, "[::1]:4317");
  EXPECT_EQ(grpc("http://[::1]:5").target, "[::1]:5");
  EXPECT_EQ(grpc("unix:///run/c.sock").target, "unix:///run/c.sock");
  EXPECT_FALSE(grpc("unix:///run/c.sock").tls);
  EXPECT_FALSE(grpc("unix-abstract:c").tls);
  EXPECT_TRUE(grpc("unix:///run/c.sock", "false").tls);
  EXPECT_TRUE(grpc("c:4317").tls);
  EXPECT_FALSE(grpc("c:4317", "TRUE").tls);
}

TEST(OtelConfig, HttpOverUnixSocket) {
  const Read r = Parse({{"OTEL_EXPORTER_OTLP_ENDPOINT", "unix:///run/c.sock"},
                        {"OTEL_EXPORTER_OTLP_HEADERS", "a=1"}});
  EXPECT_EQ(r.config.logs.otlp->unix_socket, "/run/c.sock");
  EXPECT_EQ(r.config.logs.otlp->target, "http://localhost/v1/logs");
  EXPECT_EQ(r.config.metrics.otlp->target, "http://localhost/v1/metrics");
  EXPECT_EQ(r.config.metrics.otlp->headers.size(), 1u);
  EXPECT_TRUE(r.warnings.empty());
}

TEST(OtelConfig, ReadsAttributeLimits) {
  const Read general =
      Parse({{"OTEL_ATTRIBUTE_COUNT_LIMIT", "7"}, {"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "100"}});
  EXPECT_EQ(general.config.attribute_count_max, 7u);
  EXPECT_EQ(general.config.attribute_characters_max, 100u);
  const Read own =
      Parse({{"OTEL_ATTRIBUTE_COUNT_LIMIT", "7"}, {"OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", "9"}});
  EXPECT_EQ(own.config.attribute_count_max, 9u);
  EXPECT_EQ(Parse({}).config.attribute_count_max, 128u);
}

TEST(OtelConfig, VariableOfSignalOverridesCommonOne) {
  const Read r = Parse({{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"},
                        {"OTEL_EXPORTER_OTLP_TIMEOUT", "1000"},
                        {"OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "2000"},
                        {"OTEL_EXPORTER_OTLP_HEADERS", "a=1"},
                        {"OTEL_EXPORTER_OTLP_LOGS_HEADERS", "X-Scope-OrgID=tenant%201, b = 2 "},
                        {"OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "grpc"}});
  EXPECT_EQ(r.config.logs.otlp->timeout.count(), 2000);
  EXPECT_EQ(r.config.metrics.otlp->timeout.count(), 1000);
  using Headers = std::vector<std::pair<std::string, std::string>>;
  EXPECT_EQ(r.config.logs.otlp->headers, (Headers{{"x-scope-orgid", "tenant 1"}, {"b", "2"}}));
  EXPECT_EQ(r.config.metrics.otlp->headers, (Headers{{"a", "1"}}));
  EXPECT_EQ(r.config.metrics.otlp->protocol, OtlpProtocol::kGrpc);
  EXPECT_TRUE(r.warnings.empty());
}

TEST(OtelConfig, InvalidValueGivesWarningAndDefault) {
  const Env cases[] = {{{"OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"}},
                       {{"OTEL_EXPORTER_OTLP_TIMEOUT", "soon"}},
                       {{"OTEL_EXPORTER_OTLP_TIMEOUT", "-1"}},
                       {{"OTEL_EXPORTER_OTLP_HEADERS", "no-equals"}},
                       {{"OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"}},
                       {{"OTEL_RESOURCE_ATTRIBUTES", "a=%zz"}},
                       {{"OTEL_METRIC_EXPORT_INTERVAL", "1s"}},
                       {{"OTEL_SDK_DISABLED", "yes"}},
                       {{"OTEL_LOGS_EXPORTER", "logging"}}};
  for (Env env : cases) {
    env["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://c:4318";
    const Read r = Parse(env);
    EXPECT_FALSE(r.warnings.empty()) << env.begin()->first;
    EXPECT_NE(r.warnings[0].find("OTEL_"), std::string::npos);
    ASSERT_TRUE(r.config.logs.otlp.has_value());
    EXPECT_EQ(r.config.logs.otlp->timeout.count(), 10000);
    EXPECT_EQ(r.config.metric_interval.count(), 60000);
  }
  const Read r = Parse({{"OTEL_EXPORTER_OTLP_ENDPOINT", "c:4318"}});
  EXPECT_FALSE(r.config.logs.otlp.has_value());
  EXPECT_EQ(r.warnings.size(), 1u) << "both signals read the variable; one warning is enough";
}

TEST(OtelConfig, NoSecretIsInAWarning) {
  const std::string secret = "s3cr3tt0k3n";
  const std::vector<std::pair<const char*, std::string>> mistakes = {
      {"OTEL_EXPORTER_OTLP_HEADERS", "Authorization: Bearer " + secret},
      {"OTEL_EXPORTER_OTLP_HEADERS", "Authorization: Bearer " + secret + "=="},
      {"OTEL_EXPORTER_OTLP_HEADERS", "a=b,Authorization: Basic " + secret + "="},
      {"OTEL_EXPORTER_OTLP_HEADERS", "a=b," + secret},
      {"OTEL_EXPORTER_OTLP_HEADERS", "a=b,=" + secret},
      {"OTEL_EXPORTER_OTLP_HEADERS", "{\"authorization\"=\"" + secret + "\"}"},
      {"OTEL_EXPORTER_OTLP_HEADERS", "authorization=" + secret + "%zz"},
      {"OTEL_EXPORTER_OTLP_HEADERS", "authorization=" + secret + "%0d%0aevil:1"},
      {"OTEL_EXPORTER_OTLP_LOGS_HEADERS", "Authorization: Bearer " + secret},
      {"OTEL_EXPORTER_OTLP_METRICS_HEADERS", "Authorization; " + secret},
      {"OTEL_RESOURCE_ATTRIBUTES", "a=b,token:" + secret},
      {"OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://user:" + secret + "@c:4318"},
      {"OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://" + secret + "@c:4318"},
      {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://user:" + secret + "@c:4318"},
      {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "gopher://c/?api_key=" + secret},
      {"OTEL_EXPORTER_OTLP_CLIENT_KEY", "-----BEGIN PRIVATE KEY-----" + secret},
  };
  for (const auto& [name, value] : mistakes) {
    Env env = {{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"}};
    env[name] = value;
    const Read r = Parse(env);
    ASSERT_FALSE(r.warnings.empty()) << value;
    EXPECT_NE(r.warnings[0].find(name), std::string::npos) << r.warnings[0];
    for (const std::string& warning : r.warnings)
      EXPECT_EQ(warning.find(secret), std::string::npos) << warning;
    if (r.config.logs.otlp) {
      for (const auto& [key, unused] : r.config.logs.otlp->headers)
        EXPECT_EQ(key.find(secret), std::string::npos) << "validate prints the names of headers";
    }
  }
  const Read position = Parse({{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"},
                               {"OTEL_EXPORTER_OTLP_HEADERS", "a=b, c=d, wrong"}});
  EXPECT_NE(position.warnings.at(0).find("OTEL_EXPORTER_OTLP_HEADERS: entry 3 "), std::string::npos)
      << position.warnings[0];
}

TEST(OtelConfig, GrpcTargetHasNoUser) {
  const Read r = Parse({{"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"},
                        {"OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:hunter2@c:4317"}});
  EXPECT_EQ(r.config.logs.otlp->target, "c:4317");
  ASSERT_EQ(r.warnings.size(), 1u);
  EXPECT_EQ(r.warnings[0].find("hunter2"), std::string::npos) << r.warnings[0];
}

TEST(OtelConfig, SelectsExporters) {
  const Env base = {{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"}};
  Env none = base, console = base, off = base;
  none["OTEL_LOGS_EXPORTER"] = "none";
  console["OTEL_LOGS_EXPORTER"] = "console,otlp";
  off["OTEL_SDK_DISABLED"] = "True";
  EXPECT_FALSE(Parse(none).config.logs.otlp.has_value());
  EXPECT_TRUE(Parse(none).config.metrics.otlp.has_value());
  EXPECT_TRUE(Parse(console).warnings.empty());
  EXPECT_TRUE(Parse(console).config.logs.otlp.has_value());
  EXPECT_FALSE(Parse(off).config.metrics.otlp.has_value());
}

TEST(OtelConfig, ReadsPrometheusAndConsole) {
  Read r = Parse({{"OTEL_METRICS_EXPORTER", "prometheus,console"},
                  {"OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"}});
  EXPECT_FALSE(r.config.metrics.otlp.has_value());
  EXPECT_TRUE(r.config.metrics.console);
  EXPECT_EQ(*r.config.metrics.prometheus, "127.0.0.1:9464");
  EXPECT_TRUE(r.config.logs.otlp.has_value());
  EXPECT_TRUE(r.warnings.empty());
  r = Parse({{"OTEL_METRICS_EXPORTER", "prometheus"},
             {"OTEL_EXPORTER_PROMETHEUS_HOST", "::"},
             {"OTEL_EXPORTER_PROMETHEUS_PORT", "1234"}});
  EXPECT_EQ(*r.config.metrics.prometheus, "[::]:1234");
  r = Parse({{"OTEL_METRICS_EXPORTER", "prometheus"}, {"OTEL_EXPORTER_PROMETHEUS_PORT", "70000"}});
  EXPECT_EQ(*r.config.metrics.prometheus, "127.0.0.1:9464");
  EXPECT_EQ(r.warnings.size(), 1u);
  r = Parse({{"OTEL_LOGS_EXPORTER", "prometheus"}});
  EXPECT_EQ(r.warnings.size(), 1u);
}

TEST(OtelConfig, ReadsTemporalityAndHistograms) {
  const char* temporality = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
  const char* histograms = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION";
  EXPECT_EQ(Parse({{temporality, "Delta"}}).config.temporality, Temporality::kDelta);
  EXPECT_EQ(Parse({{temporality, "LowMemory"}}).config.temporality, Temporality::kDelta);
  EXPECT_EQ(Parse({{temporality, "CUMULATIVE"}}).config.temporality, Temporality::kCumulative);
  Read r = Parse({{temporality, "sometimes"}, {histograms, "round"}});
  EXPECT_EQ(r.config.temporality, Temporality::kCumulative);
  EXPECT_EQ(r.config.histograms, HistogramKind::kExplicit);
  EXPECT_EQ(r.warnings.size(), 2u);
  EXPECT_EQ(Parse({{histograms, "base2_exponential_bucket_histogram"}}).config.histograms,
            HistogramKind::kExponential);
  r = Parse({{histograms, "base2_exponential_bucket_histogram"},
             {"OTEL_METRICS_EXPORTER", "prometheus"}});
  EXPECT_EQ(r.config.histograms, HistogramKind::kExplicit);
  EXPECT_EQ(r.warnings.size(), 1u);
}

TEST(OtelConfig, ReadsResourceAndServiceName) {
  const Read r = Parse({{"OTEL_RESOURCE_ATTRIBUTES", "service.name=from-list,team=a%2Cb"},
                        {"OTEL_SERVICE_NAME", "chosen"}});
  EXPECT_EQ(std::get<SharedText>(r.config.resource[0].value), "chosen");
  ASSERT_EQ(r.config.resource.size(), 2u);
  EXPECT_EQ(std::get<SharedText>(r.config.resource[1].value), "a,b");
}

TEST(Config, SingleSandboxIdIsInResource) {
  const Config config = ReadEnvironment([](const char* name) -> std::string {
    return std::string(name) == "OPENSANDBOX_EGRESS_SANDBOX_ID" ? "sb-1" : "";
  });
  std::map<std::string, std::string> resource;
  for (const Attribute& attribute : config.otel.resource)
    resource[std::string(attribute.key.view())] =
        std::string(std::get<SharedText>(attribute.value).view());
  EXPECT_EQ(resource["sandbox_id"], "sb-1");
  EXPECT_EQ(resource["service.name"], "sandpiper");
  EXPECT_FALSE(resource["service.version"].empty());
  EXPECT_FALSE(resource["service.instance.id"].empty());
}

TEST(ExtraAttributes, FirstEqualsSignSplitsAndInvalidSegmentsAreSkipped) {
  const std::vector<Attribute> out = ParseExtraAttributes("a=b=c, x = y ,broken,=v,k=,,z=1");
  ASSERT_EQ(out.size(), 3u);
  EXPECT_EQ(std::get<SharedText>(out[0].value), "b=c");
  EXPECT_EQ(out[1].key, "x");
  EXPECT_EQ(out[2].key, "z");
}

}  // namespace
}  // namespace sandpiper
