// Flags, environment and configuration file -> configuration and command.
#ifndef SANDPIPER_USERSPACE_COMMAND_LINE_H_
#define SANDPIPER_USERSPACE_COMMAND_LINE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "userspace/command/commands.h"
#include "userspace/config.h"

namespace sandpiper {

struct CommandLine {
  enum Command { kHelp, kExec, kRun, kStatus, kDoctor, kCanary, kVersion };
  Command command = kHelp;
  Config config;
  ExecOptions exec;
  ReportFormat format = ReportFormat::kTable;  // of status and doctor
  uint16_t canary_port = 53;
};

// Prints what --help asks for. An error names the flag, the variable, or file, line and key; `out->command` is set as far as it was read.
absl::Status ReadCommandLine(int argc, char** argv, CommandLine* out);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_COMMAND_LINE_H_
