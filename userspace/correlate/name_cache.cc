// SPDX-License-Identifier: Apache-2.0
#include "userspace/correlate/name_cache.h"

#include <algorithm>

#include "userspace/base/clock.h"

namespace sandpiper {
namespace {

constexpr uint64_t kMinLifetime = 300 * kSecond;

}  // namespace

void NameCache::Learn(const Address& address, const SharedText& name, uint32_t ttl_seconds,
                      uint64_t now_ns, NameSource source) {
  const uint64_t expires = now_ns + std::max(kMinLifetime, ttl_seconds * kSecond);
  const auto [entry, added] = entries_.try_emplace(address, Entry{{name, source}, expires});
  if (added) {
    if (const auto oldest = order_.Push(address))
      entries_.erase(*oldest);
    return;
  }
  if (source <= entry->second.known.source || now_ns >= entry->second.expires_ns)
    entry->second = {{name, source}, expires};
}

KnownName NameCache::FindWithSource(const Address& address, uint64_t now_ns) const {
  const auto found = entries_.find(address);
  return found != entries_.end() && now_ns < found->second.expires_ns ? found->second.known
                                                                      : KnownName();
}

}  // namespace sandpiper
