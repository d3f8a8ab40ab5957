// SPDX-License-Identifier: Apache-2.0
#include "userspace/base/file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "userspace/base/fd.h"

namespace sandpiper {

std::optional<std::string> ReadFile(const std::string& path) {
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.ok())
    return std::nullopt;
  std::string out;
  char piece[4096];
  for (;;) {
    const ssize_t n = read(file.get(), piece, sizeof(piece));
    if (n == 0)
      return out;
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return std::nullopt;
    out.append(piece, static_cast<size_t>(n));
  }
}

}  // namespace sandpiper
