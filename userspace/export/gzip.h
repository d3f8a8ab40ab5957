// SPDX-License-Identifier: Apache-2.0
// Compression with gzip (RFC 1952), by zlib.
#ifndef SANDPIPER_USERSPACE_EXPORT_GZIP_H_
#define SANDPIPER_USERSPACE_EXPORT_GZIP_H_

#include <cstddef>
#include <optional>
#include <string>

namespace sandpiper {

// The same input gives the same bytes. Empty if zlib is out of memory.
std::string Gzip(const std::string& in);

// True if the text begins like gzip. No protobuf message begins like that.
bool IsGzip(const std::string& in);

// Nothing if the input is broken, or the output would be longer than `max` bytes.
std::optional<std::string> Gunzip(const std::string& in, size_t max);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_GZIP_H_
