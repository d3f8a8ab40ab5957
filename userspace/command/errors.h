// SPDX-License-Identifier: Apache-2.0
// Error messages of commands.
#ifndef SANDPIPER_USERSPACE_COMMAND_ERRORS_H_
#define SANDPIPER_USERSPACE_COMMAND_ERRORS_H_

#include <cstdio>
#include <string>

#include "userspace/base/status.h"
#include "userspace/config/config.h"

namespace sandpiper {

// Prints the message of an error on stderr. Returns `exit_status`.
inline int Fail(const absl::Status& status, int exit_status) {
  fprintf(stderr, "sandpiper: %s\n", std::string(status.message()).c_str());
  return exit_status;
}

// Prints the warnings of ReadEnvironment on stderr.
inline void PrintWarnings(const Config& config) {
  for (const std::string& warning : config.warnings)
    fprintf(stderr, "sandpiper: warning: %s\n", warning.c_str());
}

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_COMMAND_ERRORS_H_
