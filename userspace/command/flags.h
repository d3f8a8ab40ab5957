// SPDX-License-Identifier: Apache-2.0
// The flags that several subcommands share, each with the variable that stands for it. CLI11 calls
// them options.
#ifndef SANDPIPER_USERSPACE_COMMAND_FLAGS_H_
#define SANDPIPER_USERSPACE_COMMAND_FLAGS_H_

#include "userspace/command/commands.h"
#include "userspace/config/config.h"

namespace CLI {
class App;
}

namespace sandpiper {

// Of all that load probes.
void AddCommonOptions(CLI::App* app, Config* config);
// What to watch, and where to keep what cannot be sent.
void AddRunOptions(CLI::App* run, Config* config);
// Where to write down what the kernel side tells.
void AddCaptureOptions(CLI::App* app, Config* config);
// The socket of the running collector.
void AddSocketOption(CLI::App* app, Config* config);
// `html`: a page is one of the forms.
void AddFormatOption(CLI::App* app, ReportFormat* format, bool html = false);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_COMMAND_FLAGS_H_
