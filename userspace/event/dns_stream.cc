// SPDX-License-Identifier: Apache-2.0
#include "userspace/event/dns_stream.h"

namespace sandpiper {
namespace {

// Room for two messages of the largest size, with their length bytes.
constexpr size_t kEarlyMax = 2 * 65537;

}  // namespace

bool DnsStream::Append(uint32_t seq, std::string_view data) {
  // Sequence numbers wrap. Their difference as a signed number is the distance (RFC 9293 3.4).
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

void DnsStream::AppendEarly() {
  // Each appended segment may close the gap before another one, in any order: numbers wrap.
  for (bool has_progress = true; has_progress;) {
    has_progress = false;
    for (auto early = early_.begin(); early != early_.end();) {
      if (!Append(early->first, early->second)) {
        ++early;
        continue;
      }
      early_bytes_ -= early->second.size();
      early = early_.erase(early);
      has_progress = true;
    }
  }
}

std::vector<std::string> DnsStream::PopMessages() {
  std::vector<std::string> messages;
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

std::vector<std::string> DnsStream::Add(uint32_t seq, std::string_view data) {
  if (broken_ || data.empty())
    return {};
  if (!Append(seq, data)) {
    std::string& early = early_[seq];
    if (early.size() < data.size()) {
      early_bytes_ += data.size() - early.size();
      early = data;
    }
    broken_ = early_bytes_ > kEarlyMax;
    return {};
  }
  AppendEarly();
  return PopMessages();
}

}  // namespace sandpiper
