// SPDX-License-Identifier: Apache-2.0
// Works off a capture (userspace/capture.h) as the running pipeline would have: decoded,
// attributed, correlated, aggregated. Nothing of this host is looked at. What came over netlink,
// rules and their changes, is in no capture.
#ifndef SANDPIPER_USERSPACE_CAPTURE_REPLAY_H_
#define SANDPIPER_USERSPACE_CAPTURE_REPLAY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "userspace/session/sandbox_session.h"

namespace sandpiper {

struct ReplayOptions {
  SessionOptions session;  // times and DNS ports are the capture's
  uint64_t window_ns = 0;  // of the destination ledger
};

struct ReplaySummary {
  uint64_t records = 0;       // that the kernel side told
  uint64_t undecodable = 0;   // among them
  uint64_t unattributed = 0;  // of no sandbox of the capture's
  uint64_t sandboxes = 0;
  // Not empty: the file ends in the middle of something, as one does whose collector was killed or
  // whose disk was full.
  std::string cut;
};

// Reads the whole file, then tells its records in the order of their time. NotFound;
// InvalidArgument for what is no capture, or one of a format that this version does not know.
absl::StatusOr<ReplaySummary> ReplayCapture(const std::string& path, const ReplayOptions& options,
                                            const RecordSink& sink);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CAPTURE_REPLAY_H_
