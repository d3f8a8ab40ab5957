// SPDX-License-Identifier: Apache-2.0
// Loads the kernel side, chooses a mechanism for each probe, attaches, and reads what it counts.
// The only user of libbpf.
#ifndef SANDPIPER_USERSPACE_PROBE_PROBES_H_
#define SANDPIPER_USERSPACE_PROBE_PROBES_H_

#include <cstdint>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bpf/events.h"
#include "userspace/base/address.h"
#include "userspace/base/fd.h"
#include "userspace/probe/device_probe.h"
#include "userspace/probe/kallsyms.h"
#include "userspace/probe/nft_probe.h"
#include "userspace/probe/program_runs.h"
#include "userspace/probe/watch_counts.h"

struct bpf_link;
struct sandpiper_bpf;

namespace sandpiper {

struct ProbeOptions {
  // Powers of two, at least a page.
  uint32_t critical_ring_bytes = 2 << 20;
  uint32_t bulk_ring_bytes = 4 << 20;
  // Entries of each of the kernel's tables of flows, whose memory is taken at once; they are all
  // sandboxes' together.
  uint32_t flows_max = 32'768;
  // No sandbox may fill a ring so that the others find no room. Off, one that is alone has all of
  // it.
  bool limit_sandboxes = true;
  bool program_statistics =
      false;  // have the kernel keep times and counts; costs each run two readings of the clock
  // At most four.
  std::vector<uint16_t> dns_ports = {53};
  bool devices = false;  // WatchDevice will be called
  // Cgroups that are made from now on are watched and told of, if their name holds a container id,
  // or begins with one of these.
  bool discover_containers = false;
  std::vector<std::string> discover_prefixes;
  // {probe, mechanism}: left out although the kernel may have it.
  std::vector<std::pair<std::string, std::string>> avoid;
};

// What became of one probe: the mechanism in use, and why the better ones are not.
struct ProbeState {
  std::string probe;
  std::string mechanism;  // empty: none
  std::string reason;  // of each refused mechanism, "fexit: Operation not permitted"; empty if the
                       // best is in use
};

struct TransferredBytes {
  uint64_t sent = 0, received = 0;
};

struct UdpFlowCounts {
  TransferredBytes bytes;
  uint64_t denied = 0;  // datagrams
};

// TCP payload; of a socket of another protocol, only that it lives.
struct SocketBytes {
  uint64_t cookie = 0;
  TransferredBytes bytes;
};

class Probes {
 public:
  // FailedPrecondition where the kernel lacks BTF, PermissionDenied without the capabilities; the
  // message says what to do.
  static absl::StatusOr<std::unique_ptr<Probes>> Load(const ProbeOptions& options);
  ~Probes();
  Probes(const Probes&) = delete;
  Probes& operator=(const Probes&) = delete;

  // Attaches all probes; those on cgroups at `cgroup_fd` and thereby below it. Programs detach when
  // this object or the process goes.
  absl::Status Attach(int cgroup_fd);

  // Nothing is produced any more; what can be read stays readable.
  void Detach();

  size_t members_max() const;
  // A member exists from here on; its counters start at 0. `member` must be new, or one that was
  // removed.
  absl::Status AddMember(uint64_t member);
  // Nothing is produced for it any more, and its counters are gone.
  void RemoveMember(uint64_t member);
  // Events of this cgroup, and of those made below it from now on, are the owner's. AlreadyExists
  // with `if_new` where another one watches it.
  absl::Status WatchCgroup(uint64_t cgroup_id, const owner& owner, bool if_new = false);
  // Who watches it; nobody: NotFound.
  absl::StatusOr<owner> OwnerOf(uint64_t cgroup_id) const;
  // If it is the member's.
  void UnwatchCgroup(uint64_t cgroup_id, uint64_t member);
  // What passes the device of this index in the calling thread's network namespace is the owner's,
  // until the member is removed.
  absl::Status WatchDevice(unsigned ifindex, const owner& owner);
  // Changes of rules there, whoever makes them, are the owner's. `lends`: so is what is in there
  // and in no watched cgroup.
  void WatchNamespace(uint32_t netns, const owner& owner, bool lends);
  void ForgetNamespace(uint32_t netns);
  // Cgroups that were made and could not be told of, for want of room; only grows.
  uint64_t births_lost() const;
  // nf_tables was loaded: the probe on it may do better now.
  void OnNftLoaded();

  bool nf_tables_is_there() const { return nft_->nf_tables_is_there(); }
  bool waits_for_nf_tables() const { return nft_ && nft_->waits_for_nf_tables(); }

  // Sums over all CPUs; every value only ever grows.
  absl::StatusOr<member_counters> ReadCounters(uint64_t member) const;

  UdpFlowCounts ReadUdpFlow(uint64_t cookie, const Endpoint& peer) const;
  // Every living socket that a watched sandbox used, where the kernel has an iterator over their
  // storage; and what passes devices.
  std::vector<SocketBytes> ReadSockets() const;
  bool sees_all_sockets() const { return tcp_bytes_ != nullptr; }

  const std::vector<ProbeState>& states() const { return states_; }
  std::vector<ProgramRuns> ReadRuns() const;
  int critical_ring_fd() const;
  int bulk_ring_fd() const;

 private:
  struct SkeletonDeleter {
    void operator()(sandpiper_bpf* skeleton) const;
  };
  struct LinkDeleter {
    void operator()(bpf_link* link) const;
  };

  Probes();
  // InvalidArgument for a probe or mechanism that does not exist.
  absl::Status CheckAvoided(const ProbeOptions& options) const;
  void TellNft();
  std::vector<SocketBytes> ReadDeviceBytes() const;

  std::unique_ptr<sandpiper_bpf, SkeletonDeleter> skeleton_;
  WatchCounts watches_;
  std::vector<std::unique_ptr<bpf_link, LinkDeleter>> links_;
  std::unique_ptr<bpf_link, LinkDeleter> tcp_bytes_;  // produces nothing by itself
  std::unique_ptr<NftProbe> nft_;
  std::future<void>
      nft_attached_;  // from Load to Attach; waits for it where it does not come to that
  std::vector<std::pair<uint64_t, std::unique_ptr<DeviceProbe>>> devices_;  // by member
  absl::StatusOr<FunctionCode> hook_code_ =
      absl::FailedPreconditionError("drops carry reasons here");
  std::vector<std::string> device_avoid_;
  std::vector<uint16_t> dns_ports_;
  std::vector<ProbeState> states_;
  size_t nft_state_ = 0;  // its place among them
  int cpus_ = 0;
  UniqueFd statistics_;  // while it is open, the kernel keeps them
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_PROBE_PROBES_H_
