// SPDX-License-Identifier: Apache-2.0
// The kinds of events (enum event_kind in bpf/events.h) as numbers. A number from the ring buffer
// or from a capture may be no enumerator.
#ifndef SANDPIPER_USERSPACE_EVENT_EVENT_KIND_H_
#define SANDPIPER_USERSPACE_EVENT_EVENT_KIND_H_

#include <cstdint>

namespace sandpiper {

bool IsKind(uint16_t number);

// The name of an event kind in the `kind` attribute of sandpiper.events.*; "unknown" for a number
// that is no kind.
const char* KindName(uint16_t number);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EVENT_EVENT_KIND_H_
