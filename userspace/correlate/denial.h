// SPDX-License-Identifier: Apache-2.0
// The part of the system that denied a lookup or a connection.
#ifndef SANDPIPER_USERSPACE_CORRELATE_DENIAL_H_
#define SANDPIPER_USERSPACE_CORRELATE_DENIAL_H_

namespace sandpiper {

// The `egress.layer` attribute of egress.denied. kDns: a DNS proxy within the sandbox. kNetfilter:
// an nftables rule. kCgroup: a BPF program that is attached to the cgroup.
enum class DenialLayer { kNone, kDns, kNetfilter, kCgroup };

constexpr const char* Name(DenialLayer layer) {
  constexpr const char* kNames[] = {"none", "dns", "netfilter", "cgroup"};
  return kNames[static_cast<int>(layer)];
}

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CORRELATE_DENIAL_H_
