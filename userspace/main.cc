// SPDX-License-Identifier: Apache-2.0
// Reads the command line and runs the subcommand.
#include <cstdio>
#include <string>
#include <utility>

#include "userspace/base/status.h"
#include "userspace/base/version.h"
#include "userspace/command/command_line.h"

int main(int argc, char** argv) {
  using sandpiper::CommandLine;
  CommandLine line;
  if (const absl::Status status = sandpiper::ReadCommandLine(argc, argv, &line); !status.ok()) {
    fprintf(stderr, "sandpiper: %s\n", std::string(status.message()).c_str());
    return line.command == CommandLine::kExec ? sandpiper::kExitExecFailure : 2;
  }
  switch (line.command) {
    case CommandLine::kHelp:
      return 0;
    case CommandLine::kExec:
      return sandpiper::RunExec(line.config, line.exec);
    case CommandLine::kRun:
      return sandpiper::RunCollector(
          std::move(line.config), [argc, argv]() -> absl::StatusOr<sandpiper::Config> {
            CommandLine reread;
            RETURN_IF_ERROR(sandpiper::ReadCommandLine(argc, argv, &reread));
            return std::move(reread.config);
          });
    case CommandLine::kObserve:
      return sandpiper::RunObserve(line.config, line.observe);
    case CommandLine::kTop:
      return sandpiper::RunTop(line.config, line.top);
    case CommandLine::kReplay:
      return sandpiper::RunReplay(line.config, line.replay);
    case CommandLine::kValidate:
      return sandpiper::RunValidate(std::move(line.config), line.format);
    case CommandLine::kStatus:
      return sandpiper::RunStatus(line.config, line.format);
    case CommandLine::kDoctor:
      return sandpiper::RunDoctor(line.config, line.format);
    case CommandLine::kCanary:
      return sandpiper::RunCanary(line.canary_port);
    case CommandLine::kVersion:
      printf("sandpiper %s\n", sandpiper::kVersion);
      return 0;
  }
  return 2;
}
