// SPDX-License-Identifier: Apache-2.0
#include "userspace/command/flags.h"

#include <CLI/CLI.hpp>
#include <chrono>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "userspace/export/redaction.h"

namespace sandpiper {
namespace {

void AddRingOption(CLI::App* app, const char* name, const char* env, uint32_t* bytes,
                   const char* help) {
  app->add_option_function<std::string>(
         name, [bytes](const std::string& text) { *bytes = *ParseRingSize(text); }, help)
      ->envname(env)
      ->check([](const std::string& text) {
        return std::string(ParseRingSize(text).status().message());
      });
}

void AddAvoidOption(CLI::App* app, Config* config) {
  app->add_option_function<std::vector<std::string>>(
         "--avoid",
         [config](const std::vector<std::string>& all) {
           config->probes.avoid.clear();
           for (const std::string& one : all) {
             const size_t colon = one.find(':');
             config->probes.avoid.emplace_back(one.substr(0, colon), one.substr(colon + 1));
           }
         },
         "PROBE:MECHANISM to leave out, as egress.denied:tp_btf; repeatable; the probe takes its "
         "next one")
      ->envname("SANDPIPER_AVOID")
      ->delimiter(',')
      ->check([](const std::string& text) {
        return text.find(':') == std::string::npos ? text + " is not PROBE:MECHANISM" : "";
      })
      ->allow_extra_args(false);
}

void AddRedactionOption(CLI::App* app, const char* name, const char* env,
                        std::vector<std::string>* patterns, const char* help) {
  app->add_option_function<std::vector<std::string>>(
         name, [patterns](const std::vector<std::string>& all) { *patterns = all; }, help)
      ->envname(env)
      ->check([](const std::string& text) {
        return std::string(Redaction::Make({text}).status().message());
      })
      ->allow_extra_args(false);
}

}  // namespace

void AddCommonOptions(CLI::App* app, Config* config) {
  static std::string read_before;  // by ReadFile
  app->add_option("--config", read_before, "YAML file; flags and environment beat it")
      ->envname("SANDPIPER_CONFIG");
  app->add_option_function<int>(
         "--dns-timeout-ms",
         [config](int ms) { config->dns_timeout = std::chrono::milliseconds(ms); },
         "a lookup that nobody answers so long is a timeout (default 5000)")
      ->envname("SANDPIPER_DNS_TIMEOUT_MS")
      ->check(CLI::Range(1, 3'600'000));
  app->add_option_function<int>(
         "--window-s", [config](int s) { config->window = std::chrono::seconds(s); },
         "how often each destination is told of (default 60)")
      ->envname("SANDPIPER_WINDOW_S")
      ->check(CLI::Range(1, 86'400));
  app->add_option_function<int>(
         "--flush-timeout-ms",
         [config](int ms) { config->flush_timeout = std::chrono::milliseconds(ms); },
         "how long exporters may still send at the end (default 5000)")
      ->envname("SANDPIPER_FLUSH_TIMEOUT_MS")
      ->check(CLI::Range(0, 3'600'000));
  app->add_option_function<std::vector<uint16_t>>(
         "--dns-port",
         [config](const std::vector<uint16_t>& ports) { config->probes.dns_ports = ports; },
         "ports that are DNS, at most four (default 53)")
      ->envname("SANDPIPER_DNS_PORT")
      ->delimiter(',')
      ->check(CLI::Range(1, 65535))
      ->allow_extra_args(false);
  AddRingOption(app, "--ring-bytes", "SANDPIPER_RING_BYTES", &config->probes.bulk_ring_bytes,
                "buffer for DNS and connection events (default 4M)");
  AddRingOption(app, "--critical-ring-bytes", "SANDPIPER_CRITICAL_RING_BYTES",
                &config->probes.critical_ring_bytes, "buffer for process events (default 2M)");
  app->add_option("--kernel-flows-max", config->probes.flows_max,
                  "flows that the kernel side remembers, of all sandboxes together: those of UDP, "
                  "and those that leave a network "
                  "namespace (default 32768)")
      ->envname("SANDPIPER_KERNEL_FLOWS_MAX")
      ->check(CLI::Range(1'024, 4'194'304));
  app->add_option("--destinations-max", config->destinations_max,
                  "destinations kept apart in each sandbox's ledger; beyond, they are summed up "
                  "(default 10000)")
      ->envname("SANDPIPER_DESTINATIONS_MAX")
      ->check(CLI::Range(1, 1'000'000));
  app->add_option("--metric-series-max", config->series_max,
                  "series of each metric; beyond, sandboxes are summed up (default 2000)")
      ->envname("SANDPIPER_METRIC_SERIES_MAX")
      ->check(CLI::Range(1, 1'000'000));
  app->add_flag("--metric-sandbox-id,!--no-metric-sandbox-id", config->sandbox_in_metrics,
                "tell metrics of each sandbox apart (default)")
      ->envname("SANDPIPER_METRIC_SANDBOX_ID");
  app->add_flag("--program-statistics", config->probes.program_statistics,
                "have the kernel count runs and time of its programs")
      ->envname("SANDPIPER_PROGRAM_STATISTICS");
  app->add_flag("--limit-system-calls,!--no-limit-system-calls", config->limit_system_calls,
                "have the kernel refuse sandpiper itself what it does not need once all is "
                "attached (default)")
      ->envname("SANDPIPER_LIMIT_SYSTEM_CALLS");
  app->add_option("--log-level", config->log_level,
                  "records below it are not made: debug, info or warn (default info)")
      ->envname("SANDPIPER_LOG_LEVEL")
      ->transform(CLI::CheckedTransformer(std::map<std::string, Severity>{
          {"debug", Severity::kDebug}, {"info", Severity::kInfo}, {"warn", Severity::kWarn}}));
  AddRedactionOption(app, "--redact-arguments", "SANDPIPER_REDACT_ARGUMENTS",
                     &config->redact_arguments,
                     "regular expression for what records may not show of arguments, in its groups "
                     "if it has some; repeatable; in place of "
                     "those for passwords and tokens");
  AddRedactionOption(
      app, "--redact-hosts", "SANDPIPER_REDACT_HOSTS", &config->redact_hosts,
      "the same for names that were looked up, targets of rules, and arguments; repeatable");
  AddAvoidOption(app, config);
}

void AddFormatOption(CLI::App* app, ReportFormat* format, bool html) {
  std::map<std::string, ReportFormat> formats = {{"table", ReportFormat::kTable},
                                                 {"json", ReportFormat::kJson}};
  if (html)
    formats["html"] = ReportFormat::kHtml;
  app->add_option("--format", *format,
                  html ? "table, json, or html: a page for a browser" : "table or json")
      ->transform(CLI::CheckedTransformer(formats));
}

void AddSocketOption(CLI::App* app, Config* config) {
  app->add_option(
         "--socket", config->api_socket,
         "unix socket of the collector (default /run/sandpiper/sandpiper.sock); \"\": none")
      ->envname("SANDPIPER_SOCKET");
}

// Sizes have a check before they are read.
static void AddBytesOption(CLI::App* app, const char* name, const char* env, uint64_t* bytes,
                           const char* help) {
  app->add_option_function<std::string>(
         name, [bytes](const std::string& text) { *bytes = *ParseBytes(text); }, help)
      ->envname(env)
      ->check(
          [](const std::string& text) { return std::string(ParseBytes(text).status().message()); });
}

static void AddSpoolOptions(CLI::App* app, Config* config) {
  app->add_option("--spool", config->spool.path,
                  "file for log records that an OTLP endpoint does not take now (default "
                  "/var/lib/sandpiper/spool.db); \"\": none")
      ->envname("SANDPIPER_SPOOL");
  AddBytesOption(app, "--spool-bytes", "SANDPIPER_SPOOL_BYTES", &config->spool.bytes_max,
                 "how much of them; beyond, the oldest make room (default 256M)");
  app->add_option_function<int>(
         "--spool-age-s", [config](int s) { config->spool.age_max = std::chrono::seconds(s); },
         "how long they may wait (default 86400)")
      ->envname("SANDPIPER_SPOOL_AGE_S")
      ->check(CLI::Range(1, 31'536'000));
  app->add_flag("--spool-write-first", config->spool_write_first,
                "put every record on disk before it is sent, for audits")
      ->envname("SANDPIPER_SPOOL_WRITE_FIRST");
}

void AddCaptureOptions(CLI::App* app, Config* config) {
  app->add_option("--capture", config->capture.path,
                  "write down what the kernel side tells, raw, for sandpiper replay")
      ->envname("SANDPIPER_CAPTURE");
  AddBytesOption(app, "--capture-bytes", "SANDPIPER_CAPTURE_BYTES", &config->capture.bytes_max,
                 "where that file ends (default 1G)");
}

void AddRunOptions(CLI::App* run, Config* config) {
  AddCaptureOptions(run, config);
  AddSpoolOptions(run, config);
  AddSocketOption(run, config);
  run->add_option("--recent-records", config->recent_records,
                  "records kept for who asks at the socket with observe (default 2000)")
      ->envname("SANDPIPER_RECENT_RECORDS")
      ->check(CLI::Range(1, 1'000'000));
  run->add_flag("--stdout,!--no-stdout", config->records_on_stdout,
                "write records to stdout, one JSON object a line (default)")
      ->envname("SANDPIPER_STDOUT");
  run->add_option("--cgroup", config->cgroups,
                  "PATH[=ID] of a cgroup to watch, with all below it; repeatable; * and ? match, "
                  "also what is made later")
      ->envname("SANDPIPER_CGROUP")
      ->allow_extra_args(false);
  run->add_option("--device", config->devices,
                  "[NETNS:]NAME[=ID]: a tap or veth whose other end is a sandbox with sockets of "
                  "its own, as a microVM, now or later; * "
                  "and ? match; "
                  "repeatable")
      ->envname("SANDPIPER_DEVICE")
      ->delimiter(',')
      ->allow_extra_args(false);
  run->add_option_function<int>(
         "--canary-interval-ms",
         [config](int ms) { config->canary_interval = std::chrono::milliseconds(ms); },
         "how often a process of our own tries out whether the probes see (default 60000); 0: "
         "never")
      ->envname("SANDPIPER_CANARY_INTERVAL_MS")
      ->check(CLI::Range(0, 86'400'000));
  run->add_flag("--limit-records,!--no-limit-records", config->probes.limit_sandboxes,
                "let no sandbox fill the buffers so that others find no room (default)")
      ->envname("SANDPIPER_LIMIT_RECORDS");
  run->add_flag("--all-containers", config->all_containers, "every container is a sandbox")
      ->envname("SANDPIPER_ALL_CONTAINERS");
  run->add_option_function<int>(
         "--metadata-wait-ms",
         [config](int ms) { config->discovery.metadata_wait = std::chrono::milliseconds(ms); },
         "how long events wait for what the runtime says of their container (default 5000)")
      ->envname("SANDPIPER_METADATA_WAIT_MS")
      ->check(CLI::Range(0, 3'600'000));
}

}  // namespace sandpiper
