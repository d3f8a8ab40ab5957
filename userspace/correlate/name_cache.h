// SPDX-License-Identifier: Apache-2.0
// Maps an address to the name that a sandbox looked it up by. Each sandbox has its own cache, since
// two sandboxes may know one address by different names.
#ifndef SANDPIPER_USERSPACE_CORRELATE_NAME_CACHE_H_
#define SANDPIPER_USERSPACE_CORRELATE_NAME_CACHE_H_

#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "userspace/base/address.h"
#include "userspace/base/bounded_fifo.h"
#include "userspace/base/shared_text.h"

namespace sandpiper {

// SandboxSession owns one, and calls it on the event loop only.
class NameCache {
 public:
  // Over `capacity` addresses, the one that was added first is removed.
  explicit NameCache(size_t capacity) : order_(capacity) {}

  // Replaces an earlier name of the address. The name is valid for its TTL, but for at least five
  // minutes: programs use addresses longer than DNS allows.
  void Learn(const Address& address, const SharedText& name, uint32_t ttl_seconds, uint64_t now_ns);

  // Empty if no valid name is known.
  SharedText Find(const Address& address, uint64_t now_ns) const;

 private:
  struct Entry {
    SharedText name;
    uint64_t expires_ns;
  };

  absl::flat_hash_map<Address, Entry> entries_;
  BoundedFifo<Address> order_;  // in the order of addition
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CORRELATE_NAME_CACHE_H_
