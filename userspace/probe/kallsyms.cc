// SPDX-License-Identifier: Apache-2.0
#include "userspace/probe/kallsyms.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <optional>

#include "absl/strings/str_cat.h"
#include "userspace/base/status.h"

namespace sandpiper {

absl::StatusOr<FunctionCode> FindFunction(const std::string& name, const std::string& file) {
  std::ifstream symbols(file);
  if (!symbols)
    return ErrnoStatus(errno, absl::StrCat("reading ", file));
  std::optional<uint64_t> begin;
  // Format: ADDRESS TYPE NAME [MODULE]. The symbols of the kernel itself are sorted by address
  // (scripts/kallsyms.c). There are more than 100,000 lines, so only the needed parts are split
  // off.
  for (std::string line; std::getline(symbols, line);) {
    const uint64_t address = strtoull(line.c_str(), nullptr, 16);
    if (begin && address > *begin)
      return FunctionCode{.begin = *begin, .end = address};
    const size_t type = line.find(' ');
    if (begin || type == std::string::npos ||
        line.compare(std::min(line.size(), type + 3), std::string::npos, name) != 0)
      continue;
    if (address == 0)
      return absl::PermissionDeniedError(absl::StrCat(file, " hides addresses"));
    begin = address;
  }
  return absl::NotFoundError(begin ? absl::StrCat(file, " does not tell where ", name, " ends")
                                   : absl::StrCat("this kernel has no ", name));
}

}  // namespace sandpiper
