// SPDX-License-Identifier: Apache-2.0
// DNS over TCP: the input is pieces, each with where it starts and how long it is. What is
// completed must be what the bytes say that came first at each place.
#include <map>
#include <vector>

#include "tests/fuzz/fuzz.h"
#include "userspace/event/dns_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using sandpiper::testing::Require;
  if (size < 4)
    return 0;
  // Where sequence numbers wrap is as good a place as any other.
  const uint32_t first = static_cast<uint32_t>(data[0]) << 24 |
                         static_cast<uint32_t>(data[1]) << 16 | 0xff00u | data[2];
  sandpiper::DnsStream stream(first);
  std::vector<std::string> messages;
  size_t given = 0;
  for (size_t at = 3; at + 3 <= size && !stream.broken();) {
    const uint32_t offset = static_cast<uint32_t>(data[at]) << 8 | data[at + 1];
    const size_t length = std::min<size_t>(data[at + 2], size - at - 3);
    for (std::string& message :
         stream.Add(first + offset, sandpiper::testing::Text(data + at + 3, length)))
      messages.push_back(std::move(message));
    given += length;
    at += 3 + length;
  }
  size_t taken = 0;
  for (const std::string& message : messages)
    taken += message.size() + 2;
  Require(taken <= given, "no more comes out than went in");
  return 0;
}
