// SPDX-License-Identifier: Apache-2.0
// Parses the command line, and reads the settings of the command.
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

// All subcommands with their flags. Parsing stores the options of the subcommands in `out`, but not
// the settings.
std::unique_ptr<CLI::App> MakeApp(CommandLine* out);

// Parses the command line and reads the settings, or prints the help if --help asks for it. An
// error names the flag, the variable, or the file, line and key. `out->command` is set even then,
// if the command line names a command.
absl::Status ReadCommandLine(int argc, char** argv, CommandLine* out);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_COMMAND_COMMAND_LINE_H_
