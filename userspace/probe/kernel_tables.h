// SPDX-License-Identifier: Apache-2.0
// What user space writes to the maps of the BPF programs and reads from them. `Probes` implements
// it; unit tests use a fake. All calls are made by the thread of the event loop.
#ifndef SANDPIPER_USERSPACE_PROBE_KERNEL_TABLES_H_
#define SANDPIPER_USERSPACE_PROBE_KERNEL_TABLES_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bpf/events.h"
#include "userspace/base/address.h"

namespace sandpiper {

struct TransferredBytes {
  uint64_t sent = 0;
  uint64_t received = 0;
};

struct UdpFlowCounts {
  TransferredBytes bytes;
  uint64_t denied = 0;  // datagrams
};

// An open socket. Bytes are TCP payload; they are 0 for other protocols.
struct SocketBytes {
  uint64_t cookie = 0;
  TransferredBytes bytes;
};

// What WatchCgroup does with a cgroup that already has an owner.
enum class IfWatched {
  kReplaceOwner,
  kKeepOwner,  // returns AlreadyExists
};

// Whether a sandbox is alone in a network namespace.
enum class NamespaceUse {
  kShared,
  kExclusive,  // packets and sockets without a watched cgroup are attributed to the sandbox
};

class KernelTables {
 public:
  virtual ~KernelTables() = default;

  // Adds the counters of a new member, all 0. AlreadyExists if the table has it; another error if
  // the table is full.
  virtual absl::Status AddMember(uint64_t member) = 0;
  // Removes the counters. The BPF programs emit no event for the member from now on.
  virtual void RemoveMember(uint64_t member) = 0;
  // How many members the table holds at most.
  virtual size_t members_max() const = 0;
  // The sums over all CPUs. Values only grow. NotFound for an unknown member.
  virtual absl::StatusOr<member_counters> ReadCounters(uint64_t member) const = 0;

  // Attributes events of the cgroup to `owner`, and those of cgroups that are created below it
  // later.
  virtual absl::Status WatchCgroup(uint64_t cgroup_id, const owner& owner,
                                   IfWatched if_watched) = 0;
  // NotFound if the cgroup is unwatched.
  virtual absl::StatusOr<owner> OwnerOf(uint64_t cgroup_id) const = 0;
  // Does nothing if the cgroup has another owner than `member`.
  virtual void UnwatchCgroup(uint64_t cgroup_id, uint64_t member) = 0;
  // The number of new cgroups without an event, because the ring buffer or a map was full. Only
  // grows.
  virtual uint64_t new_cgroups_dropped() const = 0;

  // Attributes packets of the device to `owner` until RemoveMember. `ifindex` belongs to the
  // network namespace of the calling thread.
  virtual absl::Status WatchDevice(unsigned ifindex, const owner& owner) = 0;

  // Attributes rule changes in the namespace to `owner`, whichever process makes them.
  virtual void WatchNamespace(uint32_t netns, const owner& owner, NamespaceUse use) = 0;
  virtual void ForgetNamespace(uint32_t netns) = 0;

  // All 0 for an unknown flow.
  virtual UdpFlowCounts ReadUdpFlow(uint64_t cookie, const Endpoint& peer) const = 0;
  // The open sockets that sandboxes used, if the kernel can list them, and the TCP connections
  // through watched devices.
  virtual std::vector<SocketBytes> ReadSockets() const = 0;
  // True if ReadSockets lists every open socket: a socket that it does not list is closed.
  virtual bool sees_all_sockets() const = 0;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_PROBE_KERNEL_TABLES_H_
