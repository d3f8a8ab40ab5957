// SPDX-License-Identifier: Apache-2.0
// gzip (RFC 1952), through zlib.
#ifndef SANDPIPER_USERSPACE_EXPORT_GZIP_H_
#define SANDPIPER_USERSPACE_EXPORT_GZIP_H_

#include <cstddef>
#include <optional>
#include <string>

namespace sandpiper {

// The same bytes for the same input. Empty if zlib has no memory.
std::string Gzip(const std::string& in);

// It begins as gzip does, and as no protobuf message can.
bool IsGzip(const std::string& in);

// Nothing if it is broken, or would be longer than `max` bytes.
std::optional<std::string> Gunzip(const std::string& in, size_t max);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_GZIP_H_
