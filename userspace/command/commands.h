// SPDX-License-Identifier: Apache-2.0
// The subcommands. Each one returns the exit status of the process, and prints an error as one
// line on stderr. main() calls them on the main thread.
#ifndef SANDPIPER_USERSPACE_COMMAND_COMMANDS_H_
#define SANDPIPER_USERSPACE_COMMAND_COMMANDS_H_

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "sandpiper.pb.h"
#include "userspace/config/config.h"

namespace sandpiper {

// Exit statuses of sandpiper itself. `exec` returns the status of its command; as in env(1), 125
// means that sandpiper failed before the command ran.
inline constexpr int kExitFailure = 1;
inline constexpr int kExitExecFailure = 125;

enum class ReportFormat { kTable, kJson, kHtml };

struct ExecOptions {
  std::string id;  // empty: the name of the command
  ReportFormat format = ReportFormat::kTable;
  bool show_secrets = false;  // the report masks nothing
  std::string report_file;    // empty: stdout
  std::string events_file;    // for all records, one JSON object a line; empty: none
  std::string metrics_file;   // for the final metrics as JSON; empty: none
  // Interval of progress lines on stderr; 0: none. Without a value it is ten seconds on a terminal,
  // and 0 elsewhere.
  std::optional<std::chrono::seconds> progress;
  std::vector<std::string> command;
};
// Runs a command as a sandbox and reports what it did.
int RunExec(Config config, const ExecOptions& options);

// Runs the collector until SIGTERM or SIGINT. On SIGHUP it applies the configuration that `reload`
// returns.
int RunCollector(Config config, const std::function<absl::StatusOr<Config>()>& reload);

// The test process that a collector starts to check its probes.
int RunCanary(uint16_t dns_port);

// Lists degraded features with the reason. Returns 0 if sandpiper can run on this host.
int RunDoctor(const Config& config, ReportFormat format);

// Lists the sandboxes of the running collector.
int RunStatus(const Config& config, ReportFormat format);

enum class RecordFormat { kCompact, kJson, kTable };
enum class ColorMode { kAuto, kAlways, kNever };

struct ObserveOptions {
  v1::ObserveRequest request;
  RecordFormat format = RecordFormat::kCompact;
  ColorMode color = ColorMode::kAuto;
};
// Shows live or recent records of the running collector.
int RunObserve(const Config& config, const ObserveOptions& options);

struct TopOptions {
  std::chrono::milliseconds interval{1'000};
  uint64_t frames = 0;  // 0: until the user quits on a terminal, else one
};
// Shows a live view of the busiest sandboxes.
int RunTop(const Config& config, const TopOptions& options);

struct ReplayCommandOptions {
  std::string file;
  RecordFormat format = RecordFormat::kCompact;
  ColorMode color = ColorMode::kAuto;
  bool otlp = false;
};
// Shows the records of a capture.
int RunReplay(const Config& config, const ReplayCommandOptions& options);

// Checks a configuration and prints the effective settings. Starts nothing. Returns 0 if the
// configuration is valid; `run` can still fail because of the state of the host.
int RunValidate(Config config, ReportFormat format);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_COMMAND_COMMANDS_H_
