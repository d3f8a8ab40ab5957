// SPDX-License-Identifier: Apache-2.0
// Measures the time from a DNS answer to the nftables set element that allows its address. Also
// notes which packets were denied before that.
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

// The events that preceded a new set element.
struct Allowance {
  // Time since the first answer with the address. Nothing if there was no recent answer.
  std::optional<uint64_t> after_answer_ns;
  bool after_denial = false;  // a packet to the address was denied within the last 5 s
};

// The allowed addresses of one sandbox. SandboxSession owns it and calls it on the event loop
// only.
class Allowances {
 public:
  // Over `capacity` addresses, new ones are not followed.
  explicit Allowances(size_t capacity) : capacity_(capacity) {}

  // An answer with the address reached the sandbox, or a proxy within it. If OnElementAdded came
  // first: returns the time from the answer to the element, 0 if the element is older. Returns it
  // once for each element.
  std::optional<uint64_t> OnAnswer(const Address& address, uint64_t time_ns);
  void OnDenied(const Address& address, uint64_t time_ns);
  // `timeout_ns`: the lifetime of the element, 0 if it is not known.
  Allowance OnElementAdded(const Address& address, uint64_t timeout_ns, uint64_t time_ns);
  void OnElementRemoved(const Address& address);

  // Returns each address that lost its element by expiry since the last call.
  std::vector<Address> ExpireDue(uint64_t now_ns);
  // The next expiry of an element; the maximum of uint64_t if there is none.
  uint64_t NextDeadline() const { return next_expiry_ns_; }

 private:
  struct State {
    uint64_t answered_ns = 0;  // 0: no answer since the last element
    uint64_t denied_ns = 0;    // 0: no denial since the last element
    uint64_t element_ns = 0;   // time of an element that no answer followed yet; 0: none
    uint64_t expires_ns = 0;   // 0: no element
  };

  // Null if the table is full, also after the removal of old entries.
  State* Get(const Address& address, uint64_t now_ns);

  size_t capacity_;
  absl::flat_hash_map<Address, State> states_;
  uint64_t next_expiry_ns_ = std::numeric_limits<uint64_t>::max();
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CORRELATE_ALLOWANCES_H_
