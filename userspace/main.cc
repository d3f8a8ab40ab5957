// Flags and environment -> configuration -> subcommand -> exit status.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "userspace/base/text.h"
#include "userspace/base/version.h"
#include "userspace/command/commands.h"
#include "userspace/config.h"

namespace {

using sandpiper::Config;

// "64K", "8M": what a ring may be: a power of two of at least a page (kernel/bpf/ringbuf.c).
std::string CheckRingSize(const std::string& text) {
  uint64_t bytes = 0;
  CLI::AsSizeValue as_size(false);
  std::string copy = text;
  if (const std::string error = as_size(copy); !error.empty() || !CLI::detail::lexical_cast(copy, bytes))
    return text + " is no size in bytes";
  if (bytes < 4096 || bytes > (1u << 30) || (bytes & (bytes - 1)) != 0)
    return text + " is not a power of two between 4K and 1G";
  return "";
}

void AddAvoidOption(CLI::App* app, Config* config) {
  app->add_option_function<std::vector<std::string>>(
         "--avoid",
         [config](const std::vector<std::string>& all) {
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

void AddCommonOptions(CLI::App* app, Config* config) {
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
  app->add_option("--dns-port", config->probes.dns_ports, "ports that are DNS, at most four (default 53)")
      ->envname("SANDPIPER_DNS_PORT")
      ->delimiter(',')
      ->check(CLI::Range(1, 65535))
      ->allow_extra_args(false);
  app->add_option("--ring-bytes", config->probes.bulk_ring_bytes, "buffer for DNS and connection events (default 8M)")
      ->envname("SANDPIPER_RING_BYTES")
      ->check(CheckRingSize)
      ->transform(CLI::AsSizeValue(false));
  app->add_option("--critical-ring-bytes", config->probes.critical_ring_bytes, "buffer for process events (default 4M)")
      ->envname("SANDPIPER_CRITICAL_RING_BYTES")
      ->check(CheckRingSize)
      ->transform(CLI::AsSizeValue(false));
  app->add_option("--log-level", config->log_level, "records below it are not made: debug, info or warn (default info)")
      ->envname("SANDPIPER_LOG_LEVEL")
      ->transform(CLI::CheckedTransformer(std::map<std::string, sandpiper::Severity>{
          {"debug", sandpiper::Severity::kDebug}, {"info", sandpiper::Severity::kInfo}, {"warn", sandpiper::Severity::kWarn}}));
  AddAvoidOption(app, config);
}

}  // namespace

int main(int argc, char** argv) {
  Config config = sandpiper::ReadEnvironment(sandpiper::GetProcessEnv);
  CLI::App app("sandpiper tells what a sandbox looked up, where it connected, what it ran and what it was refused, from the host kernel.");
  app.require_subcommand(1);

  CLI::App* exec = app.add_subcommand("exec", "run a command as a sandbox of its own and report what it did");
  sandpiper::ExecOptions exec_options;
  AddCommonOptions(exec, &config);
  exec->add_option("--id", exec_options.id, "sandbox_id (default: the name of the command)");
  exec->add_option("--format", exec_options.format, "table or json")
      ->transform(CLI::CheckedTransformer(std::map<std::string, sandpiper::ReportFormat>{{"table", sandpiper::ReportFormat::kTable},
                                                                                         {"json", sandpiper::ReportFormat::kJson}}));
  exec->add_option("-o,--report", exec_options.report_file, "write the report to this file instead of stdout");
  exec->add_option("--events", exec_options.events_file, "write every record to this file, one JSON object a line");
  exec->add_option("--metrics", exec_options.metrics_file, "write the final metrics to this file, one JSON object a line");
  exec->add_option("command", exec_options.command, "the command and its arguments, after --")->required();
  exec->prefix_command(false);

  CLI::App* run = app.add_subcommand("run", "watch cgroups until SIGTERM; records go to stdout and, if configured, to OTLP");
  sandpiper::RunOptions run_options;
  AddCommonOptions(run, &config);
  run->add_option("--cgroup", run_options.cgroups, "PATH[=ID] of a cgroup to watch, with all below it; repeatable; * and ? match")
      ->envname("SANDPIPER_CGROUP")
      ->allow_extra_args(false);
  run->add_option("--device", run_options.devices,
                  "[NETNS:]NAME=ID: a tap or veth whose other end is a sandbox with sockets of its own, as a microVM; repeatable")
      ->envname("SANDPIPER_DEVICE")
      ->delimiter(',')
      ->allow_extra_args(false);

  CLI::App* version = app.add_subcommand("version", "print the version");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0)
      return app.exit(error);
    fprintf(stderr, "sandpiper: %s (sandpiper --help tells more)\n", error.what());
    return exec->parsed() ? sandpiper::kExitExecFailure : 2;
  }
  if (version->parsed()) {
    printf("sandpiper %s\n", sandpiper::kVersion);
    return 0;
  }
  if (run->parsed())
    return sandpiper::RunCollector(config, run_options);
  if (exec_options.id.empty())
    exec_options.id = !config.sandbox_id.empty() ? config.sandbox_id : std::filesystem::path(exec_options.command[0]).filename().string();
  exec_options.id = sandpiper::Escape(exec_options.id);
  return sandpiper::RunExec(config, exec_options);
}
