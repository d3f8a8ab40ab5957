// SPDX-License-Identifier: Apache-2.0
#include "userspace/base/lockdown.h"

#include "userspace/base/file.h"

namespace sandpiper {

std::string LockdownMode(const std::string& file) {
  const std::string modes = ReadFile(file).value_or("");
  // The file lists all modes, with the active one in brackets.
  const size_t begin = modes.find('[');
  const size_t end = modes.find(']');
  return begin != std::string::npos && end != std::string::npos && begin < end
             ? modes.substr(begin + 1, end - begin - 1)
             : "";
}

}  // namespace sandpiper
