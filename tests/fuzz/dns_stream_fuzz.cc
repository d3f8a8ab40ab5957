// SPDX-License-Identifier: Apache-2.0
// Reassembles DNS over TCP. The input is a list of segments, each with its offset and its length.
#include <map>
#include <vector>

#include "tests/fuzz/fuzz.h"
#include "userspace/event/dns_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using sandpiper::testing::Require;
  if (size < 4)
    return 0;
  // Starts shortly before a multiple of 64 KiB, and so, for some inputs, before the wrap.
  const uint32_t first = static_cast<uint32_t>(data[0]) << 24 |
                         static_cast<uint32_t>(data[1]) << 16 | 0xff00u | data[2];
  sandpiper::DnsStream stream(first);
  std::vector<std::string> messages;
  size_t segment_bytes = 0;
  for (size_t at = 3; at + 3 <= size && !stream.broken();) {
    const uint32_t offset = static_cast<uint32_t>(data[at]) << 8 | data[at + 1];
    const size_t length = std::min<size_t>(data[at + 2], size - at - 3);
    for (std::string& message :
         stream.Add(first + offset, sandpiper::testing::Text(data + at + 3, length)))
      messages.push_back(std::move(message));
    segment_bytes += length;
    at += 3 + length;
  }
  size_t message_bytes = 0;
  for (const std::string& message : messages)
    message_bytes += message.size() + 2;
  Require(message_bytes <= segment_bytes, "the messages are no longer than the segments");
  return 0;
}
