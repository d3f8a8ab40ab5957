// SPDX-License-Identifier: Apache-2.0
// Helpers for absl::Status, which all fallible functions return. No code throws exceptions on
// purpose.
#ifndef SANDPIPER_USERSPACE_BASE_STATUS_H_
#define SANDPIPER_USERSPACE_BASE_STATUS_H_

#include <cstring>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace sandpiper {

// Converts a positive errno. `action` names the failed action and its object.
inline absl::Status ErrnoStatus(int error, std::string_view action) {
  return absl::Status(absl::ErrnoToStatusCode(error),
                      absl::StrCat(std::string(action), ": ", strerror(error)));
}

}  // namespace sandpiper

#define SP_CONCAT_INNER(a, b) a##b
#define SP_CONCAT(a, b) SP_CONCAT_INNER(a, b)

#define RETURN_IF_ERROR(expression)                             \
  do {                                                          \
    if (absl::Status sp_status = (expression); !sp_status.ok()) \
      return sp_status;                                         \
  } while (0)

#define ASSIGN_OR_RETURN(declaration, expression)      \
  auto SP_CONCAT(sp_result_, __LINE__) = (expression); \
  if (!SP_CONCAT(sp_result_, __LINE__).ok())           \
    return SP_CONCAT(sp_result_, __LINE__).status();   \
  declaration = std::move(SP_CONCAT(sp_result_, __LINE__)).value()

#endif  // SANDPIPER_USERSPACE_BASE_STATUS_H_
