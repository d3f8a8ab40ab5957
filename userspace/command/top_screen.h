// SPDX-License-Identifier: Apache-2.0
// The screen of `sandpiper top`: what changed between two answers of the collector. Pure.
#ifndef SANDPIPER_USERSPACE_COMMAND_TOP_SCREEN_H_
#define SANDPIPER_USERSPACE_COMMAND_TOP_SCREEN_H_

#include <cstddef>
#include <string>
#include <vector>

#include "sandpiper.pb.h"

namespace sandpiper {

struct TopView {
  double seconds = 1;  // between the two
  uint64_t now_unix_ns = 0;
  size_t rows = 24, columns = 80;
};

// At most `rows` lines of at most `columns` characters: the busiest sandboxes first, each with its
// busiest destinations.
std::vector<std::string> TopScreen(const v1::ListSandboxesResponse& before,
                                   const v1::ListSandboxesResponse& now, const TopView& view);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_COMMAND_TOP_SCREEN_H_
