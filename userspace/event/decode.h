// SPDX-License-Identifier: Apache-2.0
// Decodes the records of the ring buffers (bpf/events.h) into events. Pure functions. No length in
// a record is trusted.
#ifndef SANDPIPER_USERSPACE_EVENT_DECODE_H_
#define SANDPIPER_USERSPACE_EVENT_DECODE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "absl/status/status.h"
#include "userspace/event/event.h"

namespace sandpiper {

// Fills `event`, which must be newly constructed. InvalidArgument if the record is too short, of an
// unknown kind, or has a wrong length or value in it. Bytes after the end of a record are ignored.
// An output parameter saves a copy: the caller decodes into its queue.
absl::Status Decode(std::span<const std::byte> record, Event* event);

// Kind and member of a record that Decode rejected, so that its loss can be counted. Nothing if the
// record is shorter than a header.
struct RecordOwner {
  uint64_t member = 0;
  uint16_t kind = 0;
};
std::optional<RecordOwner> OwnerOf(std::span<const std::byte> record);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EVENT_DECODE_H_
