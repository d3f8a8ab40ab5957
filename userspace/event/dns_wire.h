// SPDX-License-Identifier: Apache-2.0
// The fields that DNS messages consist of.
#ifndef SANDPIPER_USERSPACE_EVENT_DNS_WIRE_H_
#define SANDPIPER_USERSPACE_EVENT_DNS_WIRE_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "userspace/base/shared_text.h"

namespace sandpiper {

// The caller checks that the bytes exist.
uint16_t Read16(std::string_view wire, size_t at);
uint32_t Read32(std::string_view wire, size_t at);

// Reads the name at `*at` in presentation form, see DnsQuestion::name, and moves `*at` to the byte
// after it. InvalidArgument: the name is malformed. OutOfRange: the bytes end within it.
absl::StatusOr<SharedText> ReadName(std::string_view wire, size_t* at);

absl::Status Malformed(std::string_view what, size_t at);
absl::Status OutOfBytes(size_t at);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EVENT_DNS_WIRE_H_
