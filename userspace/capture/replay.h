// SPDX-License-Identifier: Apache-2.0
#ifndef SANDPIPER_USERSPACE_CAPTURE_REPLAY_H_
#define SANDPIPER_USERSPACE_CAPTURE_REPLAY_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "userspace/session/sandbox_session.h"

namespace sandpiper {

struct ReplayOptions {
  SessionOptions session;  // its DNS ports and Unix offset come from the capture
  uint64_t window_ns = 0;  // interval of the records of a window
};

struct ReplaySummary {
  uint64_t records = 0;       // raw records in the capture
  uint64_t undecodable = 0;   // of them, those that could not be decoded
  uint64_t unattributed = 0;  // of them, those that belong to no sandbox of the capture
  uint64_t sandboxes = 0;
  // Says where the file ends inside an entry, as after a kill or on a full disk. Empty for a
  // complete file.
  std::string truncation;
};

// Reads the whole file and processes its events in the order of their time, as the collector would
// have: decoded, attributed, correlated and aggregated. Reads nothing else from this host. A
// capture has no rule sets, since they come over netlink, so the replay has none either. Errors are
// those of ReadCapture.
absl::StatusOr<ReplaySummary> ReplayCapture(const std::string& path, const ReplayOptions& options,
                                            const RecordSink& sink);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CAPTURE_REPLAY_H_
