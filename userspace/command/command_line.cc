// SPDX-License-Identifier: Apache-2.0
#include "userspace/command/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "userspace/base/status.h"
#include "userspace/base/text.h"
#include "userspace/command/flags.h"
#include "userspace/config/value_type.h"

namespace sandpiper {
namespace {

using ReportFormats = std::vector<std::pair<std::string, ReportFormat>>;
const ReportFormats kTableOrJson = {{"table", ReportFormat::kTable}, {"json", ReportFormat::kJson}};
const ReportFormats kReportFormats = {
    {"table", ReportFormat::kTable}, {"json", ReportFormat::kJson}, {"html", ReportFormat::kHtml}};

// "5m", "90s" and "1h30m" are times before now; "2026-01-02T03:04:05Z" is a time (RFC 3339).
absl::StatusOr<uint64_t> ParseSince(const std::string& text) {
  absl::Duration ago;
  absl::Time time;
  std::string error;
  if (absl::ParseDuration(text, &ago))
    time = absl::Now() - ago;
  else if (!absl::ParseTime(absl::RFC3339_full, text, &time, &error))
    return absl::InvalidArgumentError(absl::StrCat(
        Quoted(text), " is neither a duration (5m, 1h30m) nor a time (2026-01-02T03:04:05Z)"));
  return static_cast<uint64_t>(std::max<int64_t>(absl::ToUnixNanos(time), 0));
}

void AddExec(CLI::App* app, CommandLine* out) {
  CLI::App* const exec =
      app->add_subcommand("exec", "run a command as a sandbox and report what it did");
  ExecOptions* const options = &out->exec;
  exec->add_option("--id", options->id, "sandbox_id of the command [default: its name]")
      ->type_name("ID");
  AddChoice(exec, "--format", kReportFormats, &options->format,
            "format of the report; html is one page for a browser [default: table]");
  exec->add_flag("--show-secrets", options->show_secrets,
                 "the report masks no passwords and tokens; records are masked all the same");
  exec->add_option("-o,--report", options->report_file,
                   "write the report to this file [default: stdout]")
      ->type_name("FILE");
  exec->add_option("--events", options->events_file,
                   "write all records to this file, one JSON object a line")
      ->type_name("FILE");
  exec->add_option("--metrics", options->metrics_file,
                   "write the final metrics to this file, one JSON object a line")
      ->type_name("FILE");
  exec->add_option_function<int>(
          "--progress-s", [options](int s) { options->progress = std::chrono::seconds(s); },
          "interval of progress lines on stderr; 0: none [default: 10 on a terminal, else 0]")
      ->check(CLI::Range(0, 86'400))
      ->type_name("N");
  exec->add_option("command", options->command, "the command and its arguments, after --")
      ->required();
  exec->prefix_command(false);
  AddSettingFlags(exec);
}

void AddRecordFormatFlags(CLI::App* command, RecordFormat* format, ColorMode* color) {
  AddChoice<RecordFormat>(command, "--format",
                          {{"compact", RecordFormat::kCompact},
                           {"table", RecordFormat::kTable},
                           {"json", RecordFormat::kJson}},
                          format, "format of the records [default: compact]");
  AddChoice<ColorMode>(
      command, "--color",
      {{"auto", ColorMode::kAuto}, {"always", ColorMode::kAlways}, {"never", ColorMode::kNever}},
      color, "auto: on a terminal, unless NO_COLOR is set [default: auto]");
}

// A repeatable flag for patterns that a record must match.
void AddPatterns(CLI::App* command, const char* flag, const char* metavar, const char* help,
                 google::protobuf::RepeatedPtrField<std::string>* patterns) {
  const auto store = [patterns](const std::vector<std::string>& all) {
    patterns->Assign(all.begin(), all.end());
  };
  command->add_option_function<std::vector<std::string>>(flag, store, help)
      ->allow_extra_args(false)
      ->type_name(metavar);
}

void AddObserve(CLI::App* app, CommandLine* out) {
  CLI::App* const observe =
      app->add_subcommand("observe", "show live or recent records of the running collector");
  v1::ObserveRequest* const request = &out->observe.request;
  AddPatterns(observe, "--sandbox", "ID", "only this sandbox; * and ? match; repeatable",
              request->mutable_sandboxes());
  AddPatterns(observe, "--event", "KIND",
              "only this kind of record, such as egress.denied or process.*; repeatable",
              request->mutable_events());
  AddPatterns(observe, "--host", "HOST",
              "only records with this name or address, such as *.example.com; repeatable",
              request->mutable_hosts());
  observe->add_flag_callback(
      "--denied", [request] { request->set_denied(true); }, "only blocked attempts");
  observe
      ->add_option_function<uint32_t>(
          "--last", [request](uint32_t n) { request->set_last(n); },
          "show the last N records that the collector keeps")
      ->type_name("N");
  observe
      ->add_option_function<std::string>(
          "--since",
          [request](const std::string& text) { request->set_since_unix_ns(*ParseSince(text)); },
          "show the kept records from this time on: 5m, 1h30m, 2026-01-02T03:04:05Z")
      ->check(
          [](const std::string& text) { return std::string(ParseSince(text).status().message()); })
      ->type_name("TIME");
  observe->add_flag_callback(
      "-f,--follow", [request] { request->set_follow(true); },
      "keep following new records [default without --last and --since]");
  AddRecordFormatFlags(observe, &out->observe.format, &out->observe.color);
  AddSettingFlags(observe);
  observe->final_callback([request] {
    if (request->last() == 0 && request->since_unix_ns() == 0)
      request->set_follow(true);
    else if (request->last() == 0)
      request->set_last(std::numeric_limits<uint32_t>::max());
  });
}

void AddReplay(CLI::App* app, CommandLine* out) {
  CLI::App* const replay =
      app->add_subcommand("replay", "replay a recorded capture and show its records");
  AddRecordFormatFlags(replay, &out->replay.format, &out->replay.color);
  replay->add_flag("--otlp", out->replay.otlp, "send the records to the OTLP endpoint too");
  replay->add_option("file", out->replay.file, "a file that --capture of run or exec wrote")
      ->required();
  AddSettingFlags(replay);
}

void AddTop(CLI::App* app, CommandLine* out) {
  CLI::App* const top = app->add_subcommand(
      "top", "live view of the busiest sandboxes of the running collector (q quits)");
  top->add_option_function<int>(
         "--interval-ms", [out](int ms) { out->top.interval = std::chrono::milliseconds(ms); },
         "refresh interval [default: 1000]")
      ->check(CLI::Range(50, 3'600'000))
      ->type_name("N");
  top->add_option("--frames", out->top.frames,
                  "exit after N refreshes [default: 1 unless stdout is a terminal]")
      ->type_name("N");
  AddSettingFlags(top);
}

// A command that prints a table or JSON.
void AddSimple(CLI::App* app, CommandLine* out, const char* name, const char* description) {
  CLI::App* const command = app->add_subcommand(name, description);
  AddChoice(command, "--format", kTableOrJson, &out->format,
            "format of the output [default: table]");
  AddSettingFlags(command);
}

void AddSubcommands(CLI::App* app, CommandLine* out) {
  app->require_subcommand(1);
  AddExec(app, out);
  AddSettingFlags(app->add_subcommand(
      "run", "watch sandboxes until SIGTERM; write records to stdout and to the OTLP endpoint"));
  AddObserve(app, out);
  AddTop(app, out);
  AddReplay(app, out);
  AddSimple(app, out, "status", "list the sandboxes that the running collector watches");
  AddSimple(app, out, "doctor", "try every probe and list what this host lacks");
  AddSimple(app, out, "validate", "check a configuration and print the effective settings");
  // The collector starts this command for its self-test (userspace/canary). It is hidden.
  CLI::App* const canary = app->add_subcommand("canary")->group("");
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

// CLI11 shows the negated name of a switch as "--no-stdout{false}".
class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_option_name(const CLI::Option* option, bool is_positional) const override {
    return absl::StrReplaceAll(CLI::Formatter::make_option_name(option, is_positional),
                               {{"{false}", ""}});
  }
};

}  // namespace

std::unique_ptr<CLI::App> MakeApp(CommandLine* out) {
  auto app = std::make_unique<CLI::App>(
      "sandpiper records the DNS lookups, connections, processes and nftables changes of sandboxes "
      "with eBPF.",
      "sandpiper");
  app->formatter(std::make_shared<HelpFormatter>());  // subcommands inherit it
  AddSubcommands(app.get(), out);
  return app;
}

absl::Status ReadCommandLine(int argc, char** argv, CommandLine* out) {
  out->config = ReadEnvironment(GetProcessEnv);
  const std::unique_ptr<CLI::App> app = MakeApp(out);
  std::string error;
  try {
    app->parse(argc, argv);
  } catch (const CLI::ParseError& exception) {
    if (exception.get_exit_code() == 0) {
      app->exit(exception);
      out->command = CommandLine::kHelp;
      return absl::OkStatus();
    }
    error = exception.what();
  }
  const std::vector<CLI::App*> parsed = app->get_subcommands();
  if (!parsed.empty())
    out->command = Commands().at(parsed[0]->get_name());
  if (!error.empty())
    return absl::InvalidArgumentError(absl::StrCat(
        error, " (see sandpiper ", parsed.empty() ? "" : parsed[0]->get_name() + " ", "--help)"));
  RETURN_IF_ERROR(ReadSettings(*parsed[0], &out->config));
  if (out->command == CommandLine::kExec) {
    std::string id = out->exec.id;
    if (id.empty())
      id = out->config.sandbox_id;
    if (id.empty())
      id = std::filesystem::path(out->exec.command[0]).filename().string();
    out->exec.id = Escape(id);
  }
  return absl::OkStatus();
}

}  // namespace sandpiper
