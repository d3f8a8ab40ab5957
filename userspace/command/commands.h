// SPDX-License-Identifier: Apache-2.0
// The subcommands. Each returns the exit status of the process; errors are told on stderr, one
// sentence.
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

// Exit statuses of our own; CMD's own status is passed through by exec, and 125 follows env(1) for
// a failure before CMD ran.
inline constexpr int kExitFailure = 1, kExitExecFailure = 125;

enum class ReportFormat { kTable, kJson, kHtml };

struct ExecOptions {
  std::string id;  // default: the name of CMD
  ReportFormat format = ReportFormat::kTable;
  std::string report_file;   // empty: stdout
  std::string events_file;   // NDJSON of every record; empty: none
  std::string metrics_file;  // the final metrics as JSON; empty: none
  // How often to tell on stderr what was seen so far; 0: never. Without a value: every ten seconds,
  // where stderr is a terminal.
  std::optional<std::chrono::seconds> progress;
  std::vector<std::string> command;
};
int RunExec(Config config, const ExecOptions& options);

// Until SIGTERM or SIGINT. SIGHUP has it read its configuration again, with `reload`.
int RunCollector(Config config, const std::function<absl::StatusOr<Config>()>& reload);

// What a collector starts to see whether its probes see.
int RunCanary(uint16_t dns_port);

// What of this host sandpiper can work with. 0: the main job can run.
int RunDoctor(const Config& config, ReportFormat format);

int RunStatus(const Config& config, ReportFormat format);

enum class RecordFormat { kCompact, kJson, kTable };
enum class ColorMode { kAuto, kAlways, kNever };

struct ObserveOptions {
  v1::ObserveRequest request;
  RecordFormat format = RecordFormat::kCompact;
  ColorMode color = ColorMode::kAuto;
};
int RunObserve(const Config& config, const ObserveOptions& options);

struct TopOptions {
  std::chrono::milliseconds interval{1'000};
  uint64_t frames = 0;  // 0: until it is ended on a terminal, else one
};
int RunTop(const Config& config, const TopOptions& options);

struct ReplayCommandOptions {
  std::string file;
  RecordFormat format = RecordFormat::kCompact;
  ColorMode color = ColorMode::kAuto;
  bool otlp = false;
};
int RunReplay(const Config& config, const ReplayCommandOptions& options);

// Tells what `run` would do with this configuration, without doing it. 0: it would start with it.
int RunValidate(Config config, ReportFormat format);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_COMMAND_COMMANDS_H_
