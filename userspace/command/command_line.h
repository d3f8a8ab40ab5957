// SPDX-License-Identifier: Apache-2.0
// Flags, environment and configuration file -> configuration and command.
#ifndef SANDPIPER_USERSPACE_COMMAND_COMMAND_LINE_H_
#define SANDPIPER_USERSPACE_COMMAND_COMMAND_LINE_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "userspace/command/commands.h"
#include "userspace/config/config.h"

namespace CLI {
class App;
}

namespace sandpiper {

struct CommandLine {
  enum Command {
    kHelp,
    kExec,
    kRun,
    kObserve,
    kTop,
    kReplay,
    kStatus,
    kDoctor,
    kValidate,
    kCanary,
    kVersion
  };
  Command command = kHelp;
  Config config;
  ExecOptions exec;
  ObserveOptions observe;
  TopOptions top;
  ReplayCommandOptions replay;
  ReportFormat format = ReportFormat::kTable;  // of status, doctor and validate
  uint16_t canary_port = 53;
};

// All subcommands and flags, which set `out` when they are parsed.
std::unique_ptr<CLI::App> MakeApp(CommandLine* out);

// Prints what --help asks for. An error names the flag, the variable, or file, line and key;
// `out->command` is set as far as it was read.
absl::Status ReadCommandLine(int argc, char** argv, CommandLine* out);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_COMMAND_COMMAND_LINE_H_
