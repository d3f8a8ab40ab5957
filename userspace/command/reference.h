// SPDX-License-Identifier: Apache-2.0
// What packages ship beside the program, made of its own flags so that it cannot say anything else
// than --help: the manual page and completions for shells.
#ifndef SANDPIPER_USERSPACE_COMMAND_REFERENCE_H_
#define SANDPIPER_USERSPACE_COMMAND_REFERENCE_H_

#include <string>

namespace CLI {
class App;
}

namespace sandpiper {

// sandpiper(8), in the macros of man(7).
std::string ManPage(const CLI::App& app);
std::string BashCompletion(const CLI::App& app);
std::string ZshCompletion(const CLI::App& app);
std::string FishCompletion(const CLI::App& app);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_COMMAND_REFERENCE_H_
