// SPDX-License-Identifier: Apache-2.0
#include "userspace/command/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <limits>
#include <map>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "userspace/base/status.h"
#include "userspace/base/text.h"
#include "userspace/command/flags.h"
#include "userspace/config/config_file.h"

namespace sandpiper {
namespace {

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

// "5m", "90s", "1h30m" ago, or a time as RFC 3339 has it.
absl::StatusOr<uint64_t> ParseSince(const std::string& text) {
  absl::Duration ago;
  absl::Time time;
  std::string error;
  if (absl::ParseDuration(text, &ago))
    time = absl::Now() - ago;
  else if (!absl::ParseTime(absl::RFC3339_full, text, &time, &error))
    return absl::InvalidArgumentError(absl::StrCat(
        Escape(text), " is neither a duration (5m, 1h30m) nor a time (2026-01-02T03:04:05Z)"));
  return static_cast<uint64_t>(std::max<int64_t>(absl::ToUnixNanos(time), 0));
}

void AddExec(CLI::App* app, CommandLine* out) {
  CLI::App* const exec =
      app->add_subcommand("exec", "run a command as a sandbox of its own and report what it did");
  AddCommonOptions(exec, &out->config);
  AddCaptureOptions(exec, &out->config);
  exec->add_option("--id", out->exec.id, "sandbox_id (default: the name of the command)");
  AddFormatOption(exec, &out->exec.format, /*html=*/true);
  exec->add_option("-o,--report", out->exec.report_file,
                   "write the report to this file instead of stdout");
  exec->add_option("--events", out->exec.events_file,
                   "write every record to this file, one JSON object a line");
  exec->add_option("--metrics", out->exec.metrics_file,
                   "write the final metrics to this file, one JSON object a line");
  exec->add_option_function<int>(
          "--progress-s", [out](int s) { out->exec.progress = std::chrono::seconds(s); },
          "how often to tell on stderr what was seen so far (default 10 on a terminal, else 0); 0: "
          "never")
      ->check(CLI::Range(0, 86'400));
  exec->add_option("command", out->exec.command, "the command and its arguments, after --")
      ->required();
  exec->prefix_command(false);
}

void AddRecordFormatOptions(CLI::App* app, RecordFormat* format, ColorMode* color) {
  app->add_option("--format", *format, "compact, table or json (default compact)")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, RecordFormat>{{"compact", RecordFormat::kCompact},
                                              {"table", RecordFormat::kTable},
                                              {"json", RecordFormat::kJson}}));
  app->add_option("--color", *color,
                  "auto, always or never (default auto: on a terminal, unless NO_COLOR is set)")
      ->transform(
          CLI::CheckedTransformer(std::map<std::string, ColorMode>{{"auto", ColorMode::kAuto},
                                                                   {"always", ColorMode::kAlways},
                                                                   {"never", ColorMode::kNever}}));
}

void AddObserve(CLI::App* app, CommandLine* out) {
  CLI::App* const observe = app->add_subcommand(
      "observe", "show records of the running collector: those that come, or the last ones");
  v1::ObserveRequest* const request = &out->observe.request;
  AddSocketOption(observe, &out->config);
  const auto add_patterns = [&](const char* flag, const char* help,
                                google::protobuf::RepeatedPtrField<std::string>* patterns) {
    observe
        ->add_option_function<std::vector<std::string>>(
            flag,
            [patterns](const std::vector<std::string>& all) {
              patterns->Assign(all.begin(), all.end());
            },
            help)
        ->allow_extra_args(false);
  };
  add_patterns("--sandbox", "of sandboxes with this id; * and ? match; repeatable",
               request->mutable_sandboxes());
  add_patterns("--event", "of this kind, as egress.denied or process.*; repeatable",
               request->mutable_events());
  add_patterns("--host", "about this name or address, as *.example.com; repeatable",
               request->mutable_hosts());
  observe->add_flag_callback(
      "--denied", [request] { request->set_denied(true); }, "about what was refused");
  observe->add_option_function<uint32_t>(
      "--last", [request](uint32_t n) { request->set_last(n); },
      "the last N of those that the collector still has, instead of those that come");
  observe
      ->add_option_function<std::string>(
          "--since",
          [request](const std::string& text) { request->set_since_unix_ns(*ParseSince(text)); },
          "those that the collector still has from a time on: 5m, 1h30m, 2026-01-02T03:04:05Z")
      ->check(
          [](const std::string& text) { return std::string(ParseSince(text).status().message()); });
  observe->add_flag_callback(
      "-f,--follow", [request] { request->set_follow(true); }, "and then those that come");
  AddRecordFormatOptions(observe, &out->observe.format, &out->observe.color);
  observe->final_callback([request] {
    if (request->last() == 0 && request->since_unix_ns() == 0)
      request->set_follow(true);
    else if (request->last() == 0)
      request->set_last(std::numeric_limits<uint32_t>::max());
  });
}

void AddReplay(CLI::App* app, CommandLine* out) {
  CLI::App* const replay =
      app->add_subcommand("replay", "work off a capture again, and show its records");
  AddCommonOptions(replay, &out->config);
  AddRecordFormatOptions(replay, &out->replay.format, &out->replay.color);
  replay->add_flag("--otlp", out->replay.otlp, "send them to the configured OTLP endpoint too");
  replay->add_option("file", out->replay.file, "what run --capture, or exec --capture, wrote")
      ->required();
}

void AddTop(CLI::App* app, CommandLine* out) {
  CLI::App* const top = app->add_subcommand(
      "top", "show the busiest sandboxes of the running collector, again and again; q ends it");
  AddSocketOption(top, &out->config);
  top->add_option_function<int>(
         "--interval-ms", [out](int ms) { out->top.interval = std::chrono::milliseconds(ms); },
         "between two looks (default 1000)")
      ->check(CLI::Range(50, 3'600'000));
  top->add_option("--frames", out->top.frames,
                  "end after so many looks (default: one where stdout is no terminal)");
}

// Each subcommand with what it is in a CommandLine.
void AddSubcommands(CLI::App* app, CommandLine* out) {
  app->require_subcommand(1);
  AddExec(app, out);
  CLI::App* const run = app->add_subcommand(
      "run", "watch sandboxes until SIGTERM; records go to stdout and, if configured, to OTLP");
  AddCommonOptions(run, &out->config);
  AddRunOptions(run, &out->config);
  AddObserve(app, out);
  AddTop(app, out);
  AddReplay(app, out);
  CLI::App* const status =
      app->add_subcommand("status", "list the sandboxes that the running collector watches");
  AddSocketOption(status, &out->config);
  AddFormatOption(status, &out->format);
  CLI::App* const doctor =
      app->add_subcommand("doctor", "try every probe, and tell what this host lacks");
  AddCommonOptions(doctor, &out->config);
  AddFormatOption(doctor, &out->format);
  CLI::App* const validate = app->add_subcommand(
      "validate", "tell what run would do with this configuration, without doing it");
  AddCommonOptions(validate, &out->config);
  AddRunOptions(validate, &out->config);
  AddFormatOption(validate, &out->format);
  CLI::App* const canary =
      app->add_subcommand("canary")->group("");  // of a collector's own, see userspace/canary.h
  canary->add_option("port", out->canary_port);
  app->add_subcommand("version", "print the version");
}

const std::map<std::string, CommandLine::Command>& Commands() {
  using enum CommandLine::Command;
  static const std::map<std::string, CommandLine::Command> commands = {
      {"exec", kExec},       {"run", kRun},       {"observe", kObserve},   {"top", kTop},
      {"status", kStatus},   {"doctor", kDoctor}, {"validate", kValidate}, {"canary", kCanary},
      {"version", kVersion}, {"replay", kReplay}};
  return commands;
}

}  // namespace

std::unique_ptr<CLI::App> MakeApp(CommandLine* out) {
  auto app = std::make_unique<CLI::App>(
      "sandpiper tells what a sandbox looked up, where it connected, what it ran and what it was "
      "refused, from the host kernel.",
      "sandpiper");
  AddSubcommands(app.get(), out);
  return app;
}

absl::Status ReadCommandLine(int argc, char** argv, CommandLine* out) {
  Config& config = out->config;
  config = ReadEnvironment(GetProcessEnv);
  RETURN_IF_ERROR(ReadFile(ConfigPath(argc, argv), &config));
  const std::unique_ptr<CLI::App> app = MakeApp(out);
  // CLI11 reads the variables of all subcommands, of the others too, after the flags of the one
  // that is called; both may be of one setting.
  for (CLI::App* command : app->get_subcommands([](CLI::App*) { return true; })) {
    for (CLI::Option* option : command->get_options()) {
      if (argc < 2 || command->get_name() != argv[1])
        option->envname("");
    }
  }
  absl::Status result;
  try {
    app->parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {
      app->exit(error);
      out->command = CommandLine::kHelp;
      return result;
    }
    result =
        absl::InvalidArgumentError(absl::StrCat(error.what(), " (sandpiper --help tells more)"));
  }
  for (const auto& [name, command] : Commands()) {
    if (app->got_subcommand(name))
      out->command = command;
  }
  if (result.ok() && out->command == CommandLine::kExec) {
    if (out->exec.id.empty())
      out->exec.id = !config.sandbox_id.empty()
                         ? config.sandbox_id
                         : std::filesystem::path(out->exec.command[0]).filename().string();
    out->exec.id = Escape(out->exec.id);
  }
  return result;
}

}  // namespace sandpiper
