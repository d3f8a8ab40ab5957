// SPDX-License-Identifier: Apache-2.0
// The screen of `sandpiper top`: the rates between two responses of the collector. Pure functions.
#ifndef SANDPIPER_USERSPACE_COMMAND_TOP_SCREEN_H_
#define SANDPIPER_USERSPACE_COMMAND_TOP_SCREEN_H_

#include <cstddef>
#include <string>
#include <vector>

#include "sandpiper.pb.h"

namespace sandpiper {

struct TopView {
  double seconds = 1;  // between the two responses
  uint64_t now_unix_ns = 0;
  size_t rows = 24, columns = 80;
};

// Returns at most `view.rows` lines of at most `view.columns` characters. The busiest sandboxes
// come first, each with its busiest destinations.
std::vector<std::string> TopScreen(const v1::ListSandboxesResponse& before,
                                   const v1::ListSandboxesResponse& now, const TopView& view);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_COMMAND_TOP_SCREEN_H_
