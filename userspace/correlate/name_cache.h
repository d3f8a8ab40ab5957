// SPDX-License-Identifier: Apache-2.0
// Address -> the name under which one sandbox looked it up. Never shared: two sandboxes may know
// one address by two names.
#ifndef SANDPIPER_USERSPACE_CORRELATE_NAME_CACHE_H_
#define SANDPIPER_USERSPACE_CORRELATE_NAME_CACHE_H_

#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "userspace/base/address.h"
#include "userspace/base/bounded_fifo.h"
#include "userspace/base/shared_text.h"

namespace sandpiper {

class NameCache {
 public:
  explicit NameCache(size_t capacity) : order_(capacity) {}

  // The latest name wins. It explains connections for its TTL, and for five minutes at least:
  // programs keep addresses longer than DNS lets them.
  void Learn(const Address& address, const SharedText& name, uint32_t ttl_seconds, uint64_t now_ns);

  // Empty where no lookup explains the address.
  SharedText Find(const Address& address, uint64_t now_ns) const;

 private:
  struct Entry {
    SharedText name;
    uint64_t expires_ns;
  };

  absl::flat_hash_map<Address, Entry> entries_;
  BoundedFifo<Address> order_;  // of first learning
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CORRELATE_NAME_CACHE_H_
