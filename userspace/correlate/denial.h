// SPDX-License-Identifier: Apache-2.0
// Who said no.
#ifndef SANDPIPER_USERSPACE_CORRELATE_DENIAL_H_
#define SANDPIPER_USERSPACE_CORRELATE_DENIAL_H_

namespace sandpiper {

// The `egress.layer` attribute of egress.denied: a DNS proxy of the sandbox's own, nftables, a BPF
// program on the cgroup.
enum class DenialLayer { kNone, kDns, kNetfilter, kCgroup };

constexpr const char* Name(DenialLayer layer) {
  constexpr const char* kNames[] = {"none", "dns", "netfilter", "cgroup"};
  return kNames[static_cast<int>(layer)];
}

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CORRELATE_DENIAL_H_
