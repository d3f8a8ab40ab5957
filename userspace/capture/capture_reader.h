// SPDX-License-Identifier: Apache-2.0
#ifndef SANDPIPER_USERSPACE_CAPTURE_CAPTURE_READER_H_
#define SANDPIPER_USERSPACE_CAPTURE_CAPTURE_READER_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "capture.pb.h"
#include "userspace/aggregate/sandbox_metrics.h"
#include "userspace/base/address.h"
#include "userspace/correlate/flow_table.h"
#include "userspace/event/event.h"

namespace sandpiper {

// The whole content of a capture file, grouped and sorted for a replay.
struct Capture {
  v1::CaptureHeader header;
  std::vector<v1::CapturedSandbox> sandboxes;                   // in the order of their start
  std::map<uint64_t, std::vector<v1::CapturedMember>> members;  // in the order of the file
  std::vector<Event> events;                                    // in the order of their time
  std::map<std::pair<uint64_t, Endpoint>, FlowTable::UdpCounts> udp_counts;  // by cookie and peer
  absl::flat_hash_map<uint64_t, v1::CapturedTcpBytes> tcp_bytes;             // by cookie
  std::map<uint64_t, v1::CapturedEnd> ends;  // by the serial of the sandbox
  uint64_t records = 0;                      // raw records in the file
  uint64_t undecodable = 0;                  // of them, those that are not in `events`
  // Says where the file ends inside an entry. Empty for a complete file.
  std::string truncation;
};

// Errors are NotFound and the others of open(2); InvalidArgument for a file that is no capture or
// has another format. A truncated file is no error, since a killed collector or a full disk leaves
// one.
absl::StatusOr<Capture> ReadCapture(const std::string& path);

KernelCounts ToKernelCounts(const v1::CapturedCounts& captured);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CAPTURE_CAPTURE_READER_H_
