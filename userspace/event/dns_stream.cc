// SPDX-License-Identifier: Apache-2.0
#include "userspace/event/dns_stream.h"

namespace sandpiper {
namespace {

// Two messages of the largest size may be under way.
constexpr size_t kEarlyMax = 2 * 65537;

}  // namespace

bool DnsStream::Take(uint32_t seq, std::string_view data) {
  // Sequence numbers wrap: their difference as a signed number is the distance (RFC 9293 3.4).
  const int32_t ahead = static_cast<int32_t>(seq - next_);
  if (ahead > 0)
    return false;
  const size_t seen = static_cast<size_t>(-static_cast<int64_t>(ahead));
  if (seen < data.size()) {
    ready_.append(data.substr(seen));
    next_ += static_cast<uint32_t>(data.size() - seen);
  }
  return true;
}

std::vector<std::string> DnsStream::Add(uint32_t seq, std::string_view data) {
  std::vector<std::string> messages;
  if (broken_ || data.empty())
    return messages;
  if (!Take(seq, data)) {
    std::string& held = early_[seq];
    if (held.size() < data.size()) {
      early_bytes_ += data.size() - held.size();
      held = data;
    }
    broken_ = early_bytes_ > kEarlyMax;
    return messages;
  }
  for (bool again = true; again;) {
    again = false;
    for (auto held = early_.begin(); held != early_.end();) {
      if (!Take(held->first, held->second)) {
        ++held;
        continue;
      }
      early_bytes_ -= held->second.size();
      held = early_.erase(held);
      again = true;
    }
  }
  size_t at = 0;
  while (ready_.size() - at >= 2) {
    const size_t length = static_cast<size_t>(static_cast<uint8_t>(ready_[at])) << 8 |
                          static_cast<uint8_t>(ready_[at + 1]);
    if (ready_.size() - at < length + 2)
      break;
    messages.push_back(ready_.substr(at + 2, length));
    at += length + 2;
  }
  ready_.erase(0, at);
  return messages;
}

}  // namespace sandpiper
