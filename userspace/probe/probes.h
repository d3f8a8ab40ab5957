// SPDX-License-Identifier: Apache-2.0
// Probes: loads the BPF programs, chooses a mechanism for each probe, attaches them, and reads and
// writes their maps. The collector owns one object, and only the thread of its event loop calls it.
// This folder is the only user of libbpf.
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
struct btf;
struct sandpiper_bpf;

namespace sandpiper {

class Probes final : public KernelTables, public ProbeStatus {
 public:
  // FailedPrecondition if the kernel lacks BTF or a required probe. PermissionDenied without the
  // capabilities. The message says what to do.
  static absl::StatusOr<std::unique_ptr<Probes>> Load(const ProbeOptions& options);
  ~Probes() override;
  Probes(const Probes&) = delete;
  Probes& operator=(const Probes&) = delete;

  // Attaches all probes. Those on cgroups are attached at `cgroup_fd` and see its subtree. The
  // programs are detached when this object is destroyed or the process ends.
  absl::Status Attach(int cgroup_fd);

  // No event is emitted from now on. Maps can still be read.
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
  // The steps of Load, in this order. `kernel` is the kernel's BTF.
  absl::Status Open(const btf* kernel);
  void DetectKernelFeatures(const btf* kernel);
  absl::Status ChooseMechanisms(const ProbeOptions& options, const btf* kernel);
  absl::Status Configure(const ProbeOptions& options);
  absl::Status LoadPrograms(const ProbeOptions& options, const btf* kernel);
  absl::Status FillTables(const ProbeOptions& options);
  void UpdateNftState();
  std::vector<SocketBytes> ReadDeviceBytes() const;

  std::unique_ptr<sandpiper_bpf, SkeletonDeleter> skeleton_;
  WatchCounts watches_;
  std::vector<std::unique_ptr<bpf_link, LinkDeleter>> links_;
  // The iterator over socket storage. It emits no events; ReadSockets runs it.
  std::unique_ptr<bpf_link, LinkDeleter> tcp_bytes_;
  std::unique_ptr<NftProbe> nft_;
  // The thread that attaches nft_. Load starts it; Attach, or the destructor, waits for it.
  std::future<void> nft_attached_;
  std::vector<std::pair<uint64_t, std::unique_ptr<DeviceProbe>>> devices_;  // by member
  // The code of nf_hook_slow(), for the call-site mechanism.
  absl::StatusOr<FunctionCode> hook_code_ =
      absl::FailedPreconditionError("packet drops have a reason on this kernel");
  std::vector<std::string> device_avoid_;
  std::vector<uint16_t> dns_ports_;
  std::vector<ProbeState> states_;
  size_t nft_state_ = 0;  // index of the nftables probe in states_
  int cpus_ = 0;
  UniqueFd statistics_;  // the kernel keeps statistics while it is open
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_PROBE_PROBES_H_
