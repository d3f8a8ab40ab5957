// SPDX-License-Identifier: Apache-2.0
// The manual page and the completions of shells, which packages contain. They are made from the
// flags of the program, so that they agree with --help.
#ifndef SANDPIPER_USERSPACE_COMMAND_REFERENCE_H_
#define SANDPIPER_USERSPACE_COMMAND_REFERENCE_H_

#include <string>

namespace CLI {
class App;
}

namespace sandpiper {

// sandpiper(8), written with the macros of man(7).
std::string ManPage(const CLI::App& app);
std::string BashCompletion(const CLI::App& app);
std::string ZshCompletion(const CLI::App& app);
std::string FishCompletion(const CLI::App& app);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_COMMAND_REFERENCE_H_
