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

// Who gave a name. A later one can be chosen by the sandbox more freely.
enum class NameSource : uint8_t {
  kDns,        // a DNS server that the sandbox was given
  kUntrusted,  // another DNS server
  kSandbox,    // a DNS server within the sandbox that asked no other
};
// The `target.host.source` attribute.
constexpr const char* Name(NameSource source) {
  return source == NameSource::kDns ? "dns" : "dns_untrusted";
}

struct KnownName {
  SharedText name;  // empty if no valid name is known
  NameSource source = NameSource::kDns;
};

// SandboxSession owns one, and calls it on the event loop only.
class NameCache {
 public:
  // Over `capacity` addresses, the one that was added first is removed.
  explicit NameCache(size_t capacity) : order_(capacity) {}

  // Replaces an earlier name of the address, unless that is valid and from a better source. The
  // name is valid for its TTL, but for at least five minutes: programs use addresses longer than
  // DNS allows.
  void Learn(const Address& address, const SharedText& name, uint32_t ttl_seconds, uint64_t now_ns,
             NameSource source = NameSource::kDns);

  KnownName FindWithSource(const Address& address, uint64_t now_ns) const;
  SharedText Find(const Address& address, uint64_t now_ns) const {
    return FindWithSource(address, now_ns).name;
  }

 private:
  struct Entry {
    KnownName known;
    uint64_t expires_ns;
  };

  absl::flat_hash_map<Address, Entry> entries_;
  BoundedFifo<Address> order_;  // in the order of addition
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CORRELATE_NAME_CACHE_H_
