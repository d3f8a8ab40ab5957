// SPDX-License-Identifier: Apache-2.0
// From a DNS answer to the element of a set that lets its address through: how long that took, and
// what went wrong in between.
#ifndef SANDPIPER_USERSPACE_CORRELATE_ALLOWANCES_H_
#define SANDPIPER_USERSPACE_CORRELATE_ALLOWANCES_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "userspace/base/address.h"

namespace sandpiper {

// What an element came to be for its address.
struct Allowance {
  std::optional<uint64_t> after_answer_ns;  // since an answer first held the address; 0 where the
                                            // element was there before it
  bool after_denial = false;                // a packet to the address was denied a moment before
};

class Allowances {
 public:
  // Past `capacity` addresses new ones are not followed.
  explicit Allowances(size_t capacity) : capacity_(capacity) {}

  // An answer with the address came in, to the sandbox or to a proxy within it. Where its element
  // has been heard of before: how long after the answer it was added, 0 if before it; told once.
  std::optional<uint64_t> OnAnswer(const Address& address, uint64_t time_ns);
  void OnDenied(const Address& address, uint64_t time_ns);
  // `timeout_ns` 0: not known.
  Allowance OnElementAdded(const Address& address, uint64_t timeout_ns, uint64_t time_ns);
  void OnElementRemoved(const Address& address);

  // Addresses whose element has expired since the last call.
  std::vector<Address> Expire(uint64_t now_ns);
  uint64_t NextDeadline() const { return next_expiry_ns_; }

 private:
  struct State {
    uint64_t answered_ns = 0, denied_ns = 0;  // 0: not lately
    uint64_t element_ns = 0;  // when it was added, and no answer has been told of since
    uint64_t expires_ns = 0;  // 0: no element
  };

  State* Get(const Address& address, uint64_t now_ns);

  size_t capacity_;
  absl::flat_hash_map<Address, State> states_;
  uint64_t next_expiry_ns_ = std::numeric_limits<uint64_t>::max();
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CORRELATE_ALLOWANCES_H_
