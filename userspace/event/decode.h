// SPDX-License-Identifier: Apache-2.0
// Ring record -> Event. Pure; trusts no length.
#ifndef SANDPIPER_USERSPACE_EVENT_DECODE_H_
#define SANDPIPER_USERSPACE_EVENT_DECODE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "absl/status/status.h"
#include "userspace/event/event.h"

namespace sandpiper {

// Into a fresh event. A longer record than its kind needs is accepted, its tail ignored; a shorter
// or unknown one is an InvalidArgument error.
absl::Status Decode(std::span<const std::byte> record, Event* event);

// Kind and member of a record that Decode refused, for accounting; nothing if even the header is
// missing.
struct RecordOwner {
  uint64_t member = 0;
  uint16_t kind = 0;
};
std::optional<RecordOwner> OwnerOf(std::span<const std::byte> record);

// Lower-case name of an event kind, as the `kind` attribute of sandpiper.events.* shows it.
const char* KindName(uint16_t kind);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EVENT_DECODE_H_
