// SPDX-License-Identifier: Apache-2.0
// Reassembles DNS over TCP. Each message has a two-byte length in front (RFC 1035 4.2.2, RFC 7766
// 8), and may span segments.
#ifndef SANDPIPER_USERSPACE_EVENT_DNS_STREAM_H_
#define SANDPIPER_USERSPACE_EVENT_DNS_STREAM_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace sandpiper {

// One direction of one connection. Segments may be retransmitted, overlap and arrive out of order.
// If a segment is missing and too many bytes wait for it, the stream is broken: Add returns no
// messages from then on, because they could be wrong.
class DnsStream {
 public:
  // `first` is the sequence number of the stream's first byte.
  explicit DnsStream(uint32_t first) : next_(first) {}

  // Adds a segment. Returns the messages that are complete now, without their length bytes.
  std::vector<std::string> Add(uint32_t seq, std::string_view data);

  bool broken() const { return broken_; }

 private:
  // Appends the new bytes of a segment to ready_. False if bytes before the segment are missing.
  bool Append(uint32_t seq, std::string_view data);
  // Appends all early segments that have become contiguous.
  void AppendEarly();
  // Removes the complete messages from ready_ and returns them.
  std::vector<std::string> PopMessages();

  uint32_t next_;  // sequence number of the byte that follows ready_
  std::string ready_;
  std::map<uint32_t, std::string> early_;  // segments after a gap, by sequence number
  size_t early_bytes_ = 0;
  bool broken_ = false;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EVENT_DNS_STREAM_H_
