// SPDX-License-Identifier: Apache-2.0
#include "userspace/probe/probes.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "bpf/sandpiper_bpf.skel.h"
#include "userspace/base/fd.h"
#include "userspace/base/status.h"
#include "userspace/probe/ladder.h"
#include "userspace/probe/mechanism.h"
#include "userspace/probe/program_runs.h"

namespace sandpiper {
namespace {

endpoint ToKernel(const Endpoint& e) {
  endpoint out = {};
  std::copy(e.address.bytes.begin(), e.address.bytes.end(), out.address);
  out.port = e.port;
  return out;
}

}  // namespace

void Probes::SkeletonDeleter::operator()(sandpiper_bpf* skeleton) const {
  sandpiper_bpf::destroy(skeleton);
}
void Probes::LinkDeleter::operator()(bpf_link* link) const { bpf_link__destroy(link); }

Probes::Probes() = default;
Probes::~Probes() = default;

std::vector<ProgramRuns> Probes::ReadRuns() const {
  std::vector<ProgramRuns> out;
  for (const Ladder& ladder : Ladders(*skeleton_, hook_code_.status())) {
    for (const Ladder::Rung& rung : ladder.rungs) {
      for (const bpf_program* program : rung.programs)
        AppendRuns(ladder.probe, program, &out);
    }
  }
  if (nft_)
    nft_->AppendRuns(&out);
  for (const auto& [member, device] : devices_)
    device->AppendRuns(&out);
  // recovered_runs is read after the runs: a run that is recovered in between is not a loss.
  const auto& recovered_runs = skeleton_->bss->recovered_runs;
  SubtractRecoveredRuns({{"exec", recovered_runs[EVENT_EXEC]},
                         {"exit", recovered_runs[EVENT_EXIT]},
                         {"fork", recovered_runs[EVENT_FORK]},
                         {"tcp_state", recovered_runs[EVENT_CONNECT_RESULT]}},
                        &out);
  return out;
}

absl::Status Probes::Attach(int cgroup_fd) {
  const AttachTarget target = {.cgroup_fd = cgroup_fd, .storage = skeleton_->maps.socket_states};
  if (bpf_program__autoload(skeleton_->progs.handle_module_load)) {
    if (bpf_link* link = bpf_program__attach(skeleton_->progs.handle_module_load))
      links_.emplace_back(link);
  }
  const auto attach = [&](const Ladder::Rung& rung) -> absl::Status {
    for (const bpf_program* program : rung.programs) {
      ASSIGN_OR_RETURN(auto* const link, AttachProgram(rung.hook, program, target));
      if (rung.hook == Hook::kStorageIterator)
        tcp_bytes_.reset(link);
      else
        links_.emplace_back(link);
    }
    return absl::OkStatus();
  };
  // states_ has the same order as the ladders.
  const std::vector<Ladder> ladders = Ladders(*skeleton_, hook_code_.status());
  for (size_t i = 0; i < ladders.size(); ++i) {
    ProbeState& state = states_[i];
    for (const Ladder::Rung& rung : ladders[i].rungs) {
      if (state.mechanism != rung.Mechanism())
        continue;
      const absl::Status status = attach(rung);
      if (status.ok())
        break;
      if (ladders[i].required)
        return status;
      absl::StrAppend(&state.reason, state.reason.empty() ? "" : "; ",
                      std::string(status.message()));
      state.mechanism.clear();
    }
  }
  nft_attached_.get();
  nft_state_ = states_.size();
  states_.push_back({});
  UpdateNftState();
  return absl::OkStatus();
}

void Probes::Detach() {
  links_.clear();
  devices_.clear();
  if (nft_)
    nft_->Detach();
}

size_t Probes::members_max() const { return bpf_map__max_entries(skeleton_->maps.members); }

absl::Status Probes::AddMember(uint64_t member) {
  const std::vector<member_counters> zero(static_cast<size_t>(cpus_));
  if (bpf_map__update_elem(skeleton_->maps.members, &member, sizeof(member), zero.data(),
                           zero.size() * sizeof(member_counters), BPF_NOEXIST))
    return ErrnoStatus(errno, "adding a member to the kernel's table");
  return absl::OkStatus();
}

void Probes::RemoveMember(uint64_t member) {
  bpf_map__delete_elem(skeleton_->maps.members, &member, sizeof(member), 0);
  std::erase_if(devices_, [&](const auto& device) { return device.first == member; });
}

absl::Status Probes::WatchCgroup(uint64_t cgroup_id, const owner& owner, IfWatched if_watched) {
  const int error = watches_.Update(bpf_map__fd(skeleton_->maps.watched_cgroups), cgroup_id,
                                    watched_cgroup{.owner = owner, .noted_netns = 0},
                                    if_watched == IfWatched::kKeepOwner);
  return error ? ErrnoStatus(error, "adding a cgroup to the kernel's table") : absl::OkStatus();
}

absl::StatusOr<owner> Probes::OwnerOf(uint64_t cgroup_id) const {
  watched_cgroup out = {};
  if (bpf_map__lookup_elem(skeleton_->maps.watched_cgroups, &cgroup_id, sizeof(cgroup_id), &out,
                           sizeof(out), 0))
    return ErrnoStatus(errno, "looking a cgroup up in the kernel's table");
  return out.owner;
}

void Probes::UnwatchCgroup(uint64_t cgroup_id, uint64_t member) {
  if (const auto owner = OwnerOf(cgroup_id); owner.ok() && owner->member == member)
    watches_.Delete(bpf_map__fd(skeleton_->maps.watched_cgroups), cgroup_id);
}

absl::Status Probes::WatchDevice(unsigned ifindex, const owner& owner) {
  ASSIGN_OR_RETURN(std::unique_ptr<DeviceProbe> device,
                   DeviceProbe::Attach(skeleton_->obj, device_avoid_, ifindex, owner, dns_ports_));
  const bool is_listed = std::any_of(states_.begin(), states_.end(), [](const ProbeState& state) {
    return state.probe == "device";
  });
  if (!is_listed)
    states_.push_back(
        {.probe = "device", .mechanism = device->mechanism(), .reason = device->reason()});
  devices_.emplace_back(owner.member, std::move(device));
  return absl::OkStatus();
}

void Probes::WatchNamespace(uint32_t netns, const owner& owner, NamespaceUse use) {
  if (netns == 0)
    return;
  const bool claims_unwatched = use == NamespaceUse::kExclusive;
  const bpf_map* map = skeleton_->maps.watched_netns;
  netns_owner known = {};
  // If several sandboxes share the namespace, the first owner stays. An owner that ended, or that
  // user space rejected as a sandbox, is replaced.
  const bool replace = claims_unwatched ||
                       bpf_map__lookup_elem(map, &netns, sizeof(netns), &known, sizeof(known), 0) ||
                       known.owner.sandbox == owner.sandbox ||
                       !ReadCounters(known.owner.member).ok();
  const netns_owner value = {.owner = replace ? owner : known.owner,
                             .claims_unwatched = claims_unwatched};
  watches_.Update(bpf_map__fd(map), netns, value, /*if_new=*/false);
}

void Probes::ForgetNamespace(uint32_t netns) {
  watches_.Delete(bpf_map__fd(skeleton_->maps.watched_netns), netns);
  watches_.NamespacesChanged();
}

void Probes::UpdateNftState() {
  // Without a mechanism, changes are known from netlink notifications. They have the process but
  // not its sandbox.
  const bool has_mechanism = !nft_->mechanism().empty();
  states_[nft_state_] = {.probe = "nftables",
                         .mechanism = has_mechanism ? nft_->mechanism() : "netlink",
                         .reason = nft_->reason()};
}

void Probes::OnNftLoaded() {
  nft_->Attach();
  UpdateNftState();
}

absl::StatusOr<member_counters> Probes::ReadCounters(uint64_t member) const {
  std::vector<member_counters> per_cpu(static_cast<size_t>(cpus_));
  if (bpf_map__lookup_elem(skeleton_->maps.members, &member, sizeof(member), per_cpu.data(),
                           per_cpu.size() * sizeof(member_counters), 0))
    return ErrnoStatus(errno, "reading the counters of a member");
  member_counters sum = {};
  // The struct consists of 64-bit counters only.
  auto* out = reinterpret_cast<uint64_t*>(&sum);
  for (const member_counters& one : per_cpu) {
    const auto* in = reinterpret_cast<const uint64_t*>(&one);
    for (size_t i = 0; i < sizeof(sum) / sizeof(*out); ++i)
      out[i] += in[i];
  }
  return sum;
}

UdpFlowCounts Probes::ReadUdpFlow(uint64_t cookie, const Endpoint& peer) const {
  const udp_flow_key key = {.cookie = cookie, .peer = ToKernel(peer)};
  udp_flow flow = {};
  if (bpf_map__lookup_elem(skeleton_->maps.udp_flows, &key, sizeof(key), &flow, sizeof(flow), 0))
    return {};
  return {.bytes = {.sent = flow.bytes[DIRECTION_SENT], .received = flow.bytes[DIRECTION_RECEIVED]},
          .denied = flow.denied};
}

std::vector<SocketBytes> Probes::ReadSockets() const {
  std::vector<SocketBytes> out = ReadDeviceBytes();
  if (!tcp_bytes_)
    return out;
  const UniqueFd iterator(bpf_iter_create(bpf_link__fd(tcp_bytes_.get())));
  if (!iterator.ok())
    return out;
  std::array<socket_bytes, 128> buffer;
  for (;;) {
    const ssize_t n = read(iterator.get(), buffer.data(), sizeof(buffer));
    if (n <= 0)
      return out;
    for (size_t i = 0; i < static_cast<size_t>(n) / sizeof(socket_bytes); ++i)
      out.push_back({buffer[i].cookie,
                     {buffer[i].bytes[DIRECTION_SENT], buffer[i].bytes[DIRECTION_RECEIVED]}});
  }
}

std::vector<SocketBytes> Probes::ReadDeviceBytes() const {
  std::vector<SocketBytes> out;
  if (devices_.empty())
    return out;
  const bpf_map* map = skeleton_->maps.device_flows;
  device_flow_key key = {};
  device_flow flow = {};
  for (const void* previous = nullptr; bpf_map__get_next_key(map, previous, &key, sizeof(key)) == 0;
       previous = &key) {
    if (key.transport == TRANSPORT_TCP &&
        bpf_map__lookup_elem(map, &key, sizeof(key), &flow, sizeof(flow), 0) == 0)
      out.push_back({flow.cookie, {flow.bytes[DIRECTION_SENT], flow.bytes[DIRECTION_RECEIVED]}});
  }
  return out;
}

uint64_t Probes::new_cgroups_dropped() const { return skeleton_->bss->new_cgroups_dropped; }

int Probes::critical_ring_fd() const { return bpf_map__fd(skeleton_->maps.critical_ring); }
int Probes::bulk_ring_fd() const { return bpf_map__fd(skeleton_->maps.bulk_ring); }

}  // namespace sandpiper
