// SPDX-License-Identifier: Apache-2.0
#include "userspace/correlate/flow.h"

#include <cerrno>

namespace sandpiper {

const char* Name(ConnectOutcome outcome) {
  static constexpr const char* kNames[kConnectOutcomeCount] = {
      "pending",     "established", "denied",    "refused", "timeout",
      "unreachable", "reset",       "cancelled", "other",   "unknown"};
  return kNames[static_cast<int>(outcome)];
}

ConnectOutcome OutcomeOfErrno(int error) {
  switch (error) {
    case EPERM:
    case EACCES:
      return ConnectOutcome::kDenied;
    case ECONNREFUSED:
      return ConnectOutcome::kRefused;
    case ETIMEDOUT:
      return ConnectOutcome::kTimeout;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
      return ConnectOutcome::kUnreachable;
    case ECONNRESET:
    case EPIPE:
      return ConnectOutcome::kReset;
    default:
      return ConnectOutcome::kOther;
  }
}

}  // namespace sandpiper
