// SPDX-License-Identifier: Apache-2.0
// How commands tell people what went wrong.
#ifndef SANDPIPER_USERSPACE_COMMAND_ERRORS_H_
#define SANDPIPER_USERSPACE_COMMAND_ERRORS_H_

#include <cstdio>
#include <string>

#include "userspace/base/status.h"
#include "userspace/config/config.h"

namespace sandpiper {

inline int Fail(const absl::Status& status, int exit_status) {
  fprintf(stderr, "sandpiper: %s\n", std::string(status.message()).c_str());
  return exit_status;
}

inline void WarnAll(const Config& config) {
  for (const std::string& warning : config.warnings)
    fprintf(stderr, "sandpiper: warning: %s\n", warning.c_str());
}

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_COMMAND_ERRORS_H_
