// SPDX-License-Identifier: Apache-2.0
// DNS over TCP: messages with a two-byte length in front (RFC 1035 4.2.2, RFC 7766 8), put together
// from the pieces of one direction.
#ifndef SANDPIPER_USERSPACE_EVENT_DNS_STREAM_H_
#define SANDPIPER_USERSPACE_EVENT_DNS_STREAM_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace sandpiper {

// Pieces may be retransmitted, overlap and come out of order. A gap that outgrows the bound, or a
// piece that was lost on the way to us, breaks the stream: broken() is then true, and no further
// message comes, rather than a wrong one.
class DnsStream {
 public:
  // `first` is the sequence number of the stream's first byte.
  explicit DnsStream(uint32_t first) : next_(first) {}

  // Adds a piece and returns the messages it completes, without their length.
  std::vector<std::string> Add(uint32_t seq, std::string_view data);

  bool broken() const { return broken_; }

 private:
  // Takes what continues the stream at next_; false where the piece starts beyond it.
  bool Take(uint32_t seq, std::string_view data);

  uint32_t next_;  // first byte not yet taken into ready_
  std::string ready_;
  std::map<uint32_t, std::string> early_;  // by sequence number
  size_t early_bytes_ = 0;
  bool broken_ = false;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EVENT_DNS_STREAM_H_
