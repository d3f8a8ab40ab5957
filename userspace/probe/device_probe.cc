// SPDX-License-Identifier: Apache-2.0
#include "userspace/probe/device_probe.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "bpf/device_bpf.skel.h"
#include "userspace/base/status.h"
#include "userspace/probe/mechanism.h"
#include "userspace/probe/shared_maps.h"

namespace sandpiper {
namespace {

// enum bpf_attach_type in include/uapi/linux/bpf.h since 6.6. The header of Debian 12 is older.
constexpr auto kTcxIngress = static_cast<bpf_attach_type>(46);
constexpr auto kTcxEgress = static_cast<bpf_attach_type>(47);
constexpr char kTcx[] = "tcx";
constexpr char kPacketSocket[] = "packet socket";

// The number of bytes before the IP header, by the type of the device.
absl::StatusOr<uint32_t> LinkHeader(unsigned ifindex) {
  const UniqueFd any(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request = {};
  if (!any.ok() || !if_indextoname(ifindex, request.ifr_name) ||
      ioctl(any.get(), SIOCGIFHWADDR, &request))
    return ErrnoStatus(errno, "asking for the type of the device");
  switch (request.ifr_hwaddr.sa_family) {
    case ARPHRD_ETHER:
      return ETH_HLEN;
    case ARPHRD_NONE:
    case ARPHRD_RAWIP:
      return 0;
    default:
      return absl::UnimplementedError(absl::StrCat("a device of type ",
                                                   request.ifr_hwaddr.sa_family,
                                                   " (<net/if_arp.h>) is not understood"));
  }
}

}  // namespace

void DeviceProbe::SkeletonDeleter::operator()(device_bpf* skeleton) const {
  device_bpf::destroy(skeleton);
}
DeviceProbe::~DeviceProbe() = default;

std::vector<std::string> DeviceProbe::Mechanisms() { return {kTcx, kPacketSocket}; }

absl::Status DeviceProbe::Load(bpf_object* object, bool packet_socket, unsigned ifindex,
                               const owner& owner, const std::vector<uint16_t>& dns_ports) {
  ASSIGN_OR_RETURN(const uint32_t link_header, LinkHeader(ifindex));
  skeleton_.reset(device_bpf::open());
  if (!skeleton_)
    return ErrnoStatus(errno, "opening the probe of a device");
  bpf_program__set_autoload(skeleton_->progs.handle_device_ingress, !packet_socket);
  bpf_program__set_autoload(skeleton_->progs.handle_device_egress, !packet_socket);
  bpf_program__set_autoload(skeleton_->progs.handle_device_packet, packet_socket);
  bpf_program__set_autoload(skeleton_->progs.handle_device_packet_body, packet_socket);
  skeleton_->rodata->cfg_owner = owner;
  skeleton_->rodata->cfg_link_header = link_header;
  std::fill(std::begin(skeleton_->rodata->cfg_dns_ports),
            std::end(skeleton_->rodata->cfg_dns_ports), 0);
  std::copy(dns_ports.begin(), dns_ports.end(), skeleton_->rodata->cfg_dns_ports);
  RETURN_IF_ERROR(ShareMaps(object, skeleton_->obj));
  if (const int error = device_bpf::load(skeleton_.get()); error)
    return ErrnoStatus(-error, "loading the probe of a device");
  return absl::OkStatus();
}

absl::Status DeviceProbe::AttachTcx(unsigned ifindex) {
  const std::pair<const bpf_program*, bpf_attach_type> both[] = {
      {skeleton_->progs.handle_device_ingress, kTcxIngress},
      {skeleton_->progs.handle_device_egress, kTcxEgress}};
  for (size_t i = 0; i < held_.size(); ++i) {
    held_[i] = UniqueFd(bpf_link_create(bpf_program__fd(both[i].first), static_cast<int>(ifindex),
                                        both[i].second, nullptr));
    if (!held_[i].ok())
      return ErrnoStatus(errno, "attaching to the device");
  }
  return absl::OkStatus();
}

absl::Status DeviceProbe::AttachPacketSocket(unsigned ifindex) {
  const int body = bpf_program__fd(skeleton_->progs.handle_device_packet_body);
  constexpr uint32_t kFirst = 0;
  if (bpf_map__update_elem(skeleton_->maps.packet_body, &kFirst, sizeof(kFirst), &body,
                           sizeof(body), BPF_ANY))
    return ErrnoStatus(errno, "preparing the filter of a packet socket");
  // The socket is bound to a protocol only after the filter was attached, so that no packet passes
  // unfiltered.
  held_[0] = UniqueFd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  const int program = bpf_program__fd(skeleton_->progs.handle_device_packet);
  if (!held_[0].ok() ||
      setsockopt(held_[0].get(), SOL_SOCKET, SO_ATTACH_BPF, &program, sizeof(program)))
    return ErrnoStatus(errno, "making a packet socket");
  sockaddr_ll address = {};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(ifindex);
  if (bind(held_[0].get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)))
    return ErrnoStatus(errno, "binding a packet socket to the device");
  return absl::OkStatus();
}

void DeviceProbe::AppendRuns(std::vector<ProgramRuns>* out) const {
  sandpiper::AppendRuns("device", skeleton_->obj, out);
}

absl::StatusOr<std::unique_ptr<DeviceProbe>> DeviceProbe::Attach(
    bpf_object* object, const std::vector<std::string>& avoid, unsigned ifindex, const owner& owner,
    const std::vector<uint16_t>& dns_ports) {
  std::string reasons;
  for (const std::string& mechanism : Mechanisms()) {
    std::unique_ptr<DeviceProbe> probe(new DeviceProbe());
    const bool packet_socket = mechanism == kPacketSocket;
    absl::Status status;
    if (std::find(avoid.begin(), avoid.end(), mechanism) != avoid.end())
      status = absl::CancelledError(kAvoided);
    else
      status = probe->Load(object, packet_socket, ifindex, owner, dns_ports);
    if (status.ok())
      status = packet_socket ? probe->AttachPacketSocket(ifindex) : probe->AttachTcx(ifindex);
    if (status.ok()) {
      probe->mechanism_ = mechanism;
      probe->reason_ = std::move(reasons);
      return probe;
    }
    AppendReason(mechanism, std::string(status.message()), &reasons);
  }
  return absl::FailedPreconditionError(reasons);
}

}  // namespace sandpiper
