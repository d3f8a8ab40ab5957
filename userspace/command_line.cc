#include "userspace/command_line.h"

#include <CLI/CLI.hpp>
#include <chrono>
#include <filesystem>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "userspace/base/status.h"
#include "userspace/base/text.h"
#include "userspace/config_file.h"

namespace sandpiper {
namespace {

void AddRingOption(CLI::App* app, const char* name, const char* env, uint32_t* bytes, const char* help) {
  app->add_option_function<std::string>(
         name, [bytes](const std::string& text) { *bytes = *ParseRingSize(text); }, help)
      ->envname(env)
      ->check([](const std::string& text) { return std::string(ParseRingSize(text).status().message()); });
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
         "PROBE:MECHANISM to leave out, as egress.denied:tp_btf; repeatable; the probe takes its next one")
      ->envname("SANDPIPER_AVOID")
      ->delimiter(',')
      ->check([](const std::string& text) { return text.find(':') == std::string::npos ? text + " is not PROBE:MECHANISM" : ""; })
      ->allow_extra_args(false);
}

void AddRedactionOption(CLI::App* app, const char* name, const char* env, std::vector<std::string>* patterns, const char* help) {
  app->add_option_function<std::vector<std::string>>(
         name, [patterns](const std::vector<std::string>& all) { *patterns = all; }, help)
      ->envname(env)
      ->check([](const std::string& text) { return std::string(Redaction::Make({text}).status().message()); })
      ->allow_extra_args(false);
}

void AddCommonOptions(CLI::App* app, Config* config) {
  static std::string read_before;  // by ReadFile
  app->add_option("--config", read_before, "YAML file; flags and environment beat it")->envname("SANDPIPER_CONFIG");
  app->add_option_function<int>(
         "--dns-timeout-ms", [config](int ms) { config->dns_timeout = std::chrono::milliseconds(ms); },
         "a lookup that nobody answers so long is a timeout (default 5000)")
      ->envname("SANDPIPER_DNS_TIMEOUT_MS")
      ->check(CLI::Range(1, 3'600'000));
  app->add_option_function<int>(
         "--window-s", [config](int s) { config->window = std::chrono::seconds(s); }, "how often each destination is told of (default 60)")
      ->envname("SANDPIPER_WINDOW_S")
      ->check(CLI::Range(1, 86'400));
  app->add_option_function<int>(
         "--flush-timeout-ms", [config](int ms) { config->flush_timeout = std::chrono::milliseconds(ms); },
         "how long exporters may still send at the end (default 5000)")
      ->envname("SANDPIPER_FLUSH_TIMEOUT_MS")
      ->check(CLI::Range(0, 3'600'000));
  app->add_option_function<std::vector<uint16_t>>(
         "--dns-port", [config](const std::vector<uint16_t>& ports) { config->probes.dns_ports = ports; },
         "ports that are DNS, at most four (default 53)")
      ->envname("SANDPIPER_DNS_PORT")
      ->delimiter(',')
      ->check(CLI::Range(1, 65535))
      ->allow_extra_args(false);
  AddRingOption(app, "--ring-bytes", "SANDPIPER_RING_BYTES", &config->probes.bulk_ring_bytes,
                "buffer for DNS and connection events (default 8M)");
  AddRingOption(app, "--critical-ring-bytes", "SANDPIPER_CRITICAL_RING_BYTES", &config->probes.critical_ring_bytes,
                "buffer for process events (default 4M)");
  app->add_option("--destinations-max", config->destinations_max,
                  "destinations kept apart in each sandbox's ledger; beyond, they are summed up (default 10000)")
      ->envname("SANDPIPER_DESTINATIONS_MAX")
      ->check(CLI::Range(1, 1'000'000));
  app->add_option("--metric-series-max", config->series_max, "series of each metric; beyond, sandboxes are summed up (default 2000)")
      ->envname("SANDPIPER_METRIC_SERIES_MAX")
      ->check(CLI::Range(1, 1'000'000));
  app->add_flag("--metric-sandbox-id,!--no-metric-sandbox-id", config->sandbox_in_metrics, "tell metrics of each sandbox apart (default)")
      ->envname("SANDPIPER_METRIC_SANDBOX_ID");
  app->add_flag("--program-statistics", config->probes.program_statistics, "have the kernel count runs and time of its programs")
      ->envname("SANDPIPER_PROGRAM_STATISTICS");
  app->add_flag("--limit-system-calls,!--no-limit-system-calls", config->limit_system_calls,
                "have the kernel refuse sandpiper itself what it does not need once all is attached (default)")
      ->envname("SANDPIPER_LIMIT_SYSTEM_CALLS");
  app->add_option("--log-level", config->log_level, "records below it are not made: debug, info or warn (default info)")
      ->envname("SANDPIPER_LOG_LEVEL")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, Severity>{{"debug", Severity::kDebug}, {"info", Severity::kInfo}, {"warn", Severity::kWarn}}));
  AddRedactionOption(app, "--redact-arguments", "SANDPIPER_REDACT_ARGUMENTS", &config->redact_arguments,
                     "regular expression for what records may not show of arguments, in its groups if it has some; repeatable; in place of "
                     "those for passwords and tokens");
  AddRedactionOption(app, "--redact-hosts", "SANDPIPER_REDACT_HOSTS", &config->redact_hosts,
                     "the same for names that were looked up, targets of rules, and arguments; repeatable");
  AddAvoidOption(app, config);
}

// The file comes before the flags that beat it, wherever on the command line it is named.
std::string ConfigPath(int argc, char** argv) {
  constexpr std::string_view kFlag = "--config", kAssigned = "--config=";
  for (int i = 1; i < argc && std::string_view(argv[i]) != "--"; ++i) {
    const std::string_view argument = argv[i];
    if (argument == kFlag && i + 1 < argc)
      return argv[i + 1];
    if (argument.starts_with(kAssigned))
      return std::string(argument.substr(kAssigned.size()));
  }
  return GetProcessEnv("SANDPIPER_CONFIG");
}

absl::Status ReadFile(const std::string& path, Config* config) {
  if (!path.empty()) {
    if (const absl::Status status = ReadConfigFile(path, config); !status.ok())
      return status;
  }
  // Keys without a flag.
  for (const auto& [variable, key] : {std::pair{"SANDPIPER_SANDBOXES", "sandboxes"},
                                      {"SANDPIPER_RUNTIMES", "runtimes"},
                                      {"SANDPIPER_BUNDLE_FOLDERS", "bundle_folders"},
                                      {"SANDPIPER_SIDECAR_CONTAINERS", "sidecar_containers"}}) {
    if (const std::string yaml = GetProcessEnv(variable); !yaml.empty()) {
      if (const absl::Status status = ReadConfigValue(variable, key, yaml, config); !status.ok())
        return status;
    }
  }
  return absl::OkStatus();
}

void AddFormatOption(CLI::App* app, ReportFormat* format) {
  app->add_option("--format", *format, "table or json")
      ->transform(
          CLI::CheckedTransformer(std::map<std::string, ReportFormat>{{"table", ReportFormat::kTable}, {"json", ReportFormat::kJson}}));
}

void AddSocketOption(CLI::App* app, Config* config) {
  app->add_option("--socket", config->api_socket, "unix socket of the collector (default /run/sandpiper/sandpiper.sock); \"\": none")
      ->envname("SANDPIPER_SOCKET");
}

void AddSpoolOptions(CLI::App* app, Config* config) {
  app->add_option("--spool", config->spool.path,
                  "file for log records that an OTLP endpoint does not take now (default /var/lib/sandpiper/spool.db); \"\": none")
      ->envname("SANDPIPER_SPOOL");
  app->add_option_function<std::string>(
         "--spool-bytes", [config](const std::string& text) { config->spool.bytes_max = *ParseBytes(text); },
         "how much of them; beyond, the oldest make room (default 256M)")
      ->envname("SANDPIPER_SPOOL_BYTES")
      ->check([](const std::string& text) { return std::string(ParseBytes(text).status().message()); });
  app->add_option_function<int>(
         "--spool-age-s", [config](int s) { config->spool.age_max = std::chrono::seconds(s); }, "how long they may wait (default 86400)")
      ->envname("SANDPIPER_SPOOL_AGE_S")
      ->check(CLI::Range(1, 31'536'000));
  app->add_flag("--spool-write-first", config->spool_write_first, "put every record on disk before it is sent, for audits")
      ->envname("SANDPIPER_SPOOL_WRITE_FIRST");
}

void AddRunOptions(CLI::App* run, Config* config) {
  AddSpoolOptions(run, config);
  AddSocketOption(run, config);
  run->add_option("--cgroup", config->cgroups,
                  "PATH[=ID] of a cgroup to watch, with all below it; repeatable; * and ? match, also what is made later")
      ->envname("SANDPIPER_CGROUP")
      ->allow_extra_args(false);
  run->add_option("--device", config->devices,
                  "[NETNS:]NAME[=ID]: a tap or veth whose other end is a sandbox with sockets of its own, as a microVM, now or later; * "
                  "and ? match; "
                  "repeatable")
      ->envname("SANDPIPER_DEVICE")
      ->delimiter(',')
      ->allow_extra_args(false);
  run->add_option_function<int>(
         "--canary-interval-ms", [config](int ms) { config->canary_interval = std::chrono::milliseconds(ms); },
         "how often a process of our own tries out whether the probes see (default 60000); 0: never")
      ->envname("SANDPIPER_CANARY_INTERVAL_MS")
      ->check(CLI::Range(0, 86'400'000));
  run->add_flag("--limit-records,!--no-limit-records", config->probes.limit_sandboxes,
                "let no sandbox fill the buffers so that others find no room (default)")
      ->envname("SANDPIPER_LIMIT_RECORDS");
  run->add_flag("--all-containers", config->all_containers, "every container is a sandbox")->envname("SANDPIPER_ALL_CONTAINERS");
  run->add_option_function<int>(
         "--metadata-wait-ms", [config](int ms) { config->discovery.metadata_wait = std::chrono::milliseconds(ms); },
         "how long events wait for what the runtime says of their container (default 5000)")
      ->envname("SANDPIPER_METADATA_WAIT_MS")
      ->check(CLI::Range(0, 3'600'000));
}

}  // namespace

absl::Status ReadCommandLine(int argc, char** argv, CommandLine* out) {
  Config& config = out->config;
  config = ReadEnvironment(GetProcessEnv);
  RETURN_IF_ERROR(ReadFile(ConfigPath(argc, argv), &config));
  CLI::App app("sandpiper tells what a sandbox looked up, where it connected, what it ran and what it was refused, from the host kernel.");
  app.require_subcommand(1);

  CLI::App* exec = app.add_subcommand("exec", "run a command as a sandbox of its own and report what it did");
  AddCommonOptions(exec, &config);
  exec->add_option("--id", out->exec.id, "sandbox_id (default: the name of the command)");
  AddFormatOption(exec, &out->exec.format);
  exec->add_option("-o,--report", out->exec.report_file, "write the report to this file instead of stdout");
  exec->add_option("--events", out->exec.events_file, "write every record to this file, one JSON object a line");
  exec->add_option("--metrics", out->exec.metrics_file, "write the final metrics to this file, one JSON object a line");
  exec->add_option("command", out->exec.command, "the command and its arguments, after --")->required();
  exec->prefix_command(false);

  CLI::App* run = app.add_subcommand("run", "watch sandboxes until SIGTERM; records go to stdout and, if configured, to OTLP");
  AddCommonOptions(run, &config);
  AddRunOptions(run, &config);

  CLI::App* status = app.add_subcommand("status", "list the sandboxes that the running collector watches");
  AddSocketOption(status, &config);
  AddFormatOption(status, &out->format);

  CLI::App* doctor = app.add_subcommand("doctor", "try every probe, and tell what this host lacks");
  AddCommonOptions(doctor, &config);
  AddFormatOption(doctor, &out->format);

  CLI::App* canary = app.add_subcommand("canary")->group("");  // of a collector's own, see userspace/canary.h
  canary->add_option("port", out->canary_port);

  app.add_subcommand("version", "print the version");

  absl::Status result;
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {
      app.exit(error);
      out->command = CommandLine::kHelp;
      return result;
    }
    result = absl::InvalidArgumentError(absl::StrCat(error.what(), " (sandpiper --help tells more)"));
  }
  for (const auto& [name, command] : std::map<std::string, CommandLine::Command>{{"exec", CommandLine::kExec},
                                                                                 {"run", CommandLine::kRun},
                                                                                 {"status", CommandLine::kStatus},
                                                                                 {"doctor", CommandLine::kDoctor},
                                                                                 {"canary", CommandLine::kCanary},
                                                                                 {"version", CommandLine::kVersion}}) {
    if (app.got_subcommand(name))
      out->command = command;
  }
  if (result.ok() && out->command == CommandLine::kExec) {
    if (out->exec.id.empty())
      out->exec.id = !config.sandbox_id.empty() ? config.sandbox_id : std::filesystem::path(out->exec.command[0]).filename().string();
    out->exec.id = Escape(out->exec.id);
  }
  return result;
}

}  // namespace sandpiper
