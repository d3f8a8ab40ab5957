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
#include "userspace/probe/kernel_tables.h"
#include "userspace/probe/nft_probe.h"
#include "userspace/probe/probe_options.h"
#include "userspace/probe/probe_status.h"
#include "userspace/probe/watch_counts.h"

struct bpf_link;
struct sandpiper_bpf;

namespace sandpiper {

class Probes final : public KernelTables, public ProbeStatus {
 public:
  // FailedPrecondition where the kernel lacks BTF, PermissionDenied without the capabilities; the
  // message says what to do.
  static absl::StatusOr<std::unique_ptr<Probes>> Load(const ProbeOptions& options);
  ~Probes() override;
  Probes(const Probes&) = delete;
  Probes& operator=(const Probes&) = delete;

  // Attaches all probes; those on cgroups at `cgroup_fd` and thereby below it. Programs detach when
  // this object or the process goes.
  absl::Status Attach(int cgroup_fd);

  // Nothing is produced any more; what can be read stays readable.
  void Detach();

  // KernelTables:
  size_t members_max() const override;
  absl::Status AddMember(uint64_t member) override;
  void RemoveMember(uint64_t member) override;
  absl::StatusOr<member_counters> ReadCounters(uint64_t member) const override;
  absl::Status WatchCgroup(uint64_t cgroup_id, const owner& owner, IfWatched if_watched) override;
  absl::StatusOr<owner> OwnerOf(uint64_t cgroup_id) const override;
  void UnwatchCgroup(uint64_t cgroup_id, uint64_t member) override;
  uint64_t new_cgroups_dropped() const override;
  absl::Status WatchDevice(unsigned ifindex, const owner& owner) override;
  void WatchNamespace(uint32_t netns, const owner& owner, NamespaceUse use) override;
  void ForgetNamespace(uint32_t netns) override;
  UdpFlowCounts ReadUdpFlow(uint64_t cookie, const Endpoint& peer) const override;
  std::vector<SocketBytes> ReadSockets() const override;
  bool sees_all_sockets() const override { return tcp_bytes_ != nullptr; }

  // ProbeStatus:
  const std::vector<ProbeState>& states() const override { return states_; }
  std::vector<ProgramRuns> ReadRuns() const override;
  bool nf_tables_is_loaded() const override { return nft_->nf_tables_is_loaded(); }
  void OnNftLoaded() override;

  bool waits_for_nf_tables() const { return nft_ && nft_->waits_for_nf_tables(); }
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
  void UpdateNftState();
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
