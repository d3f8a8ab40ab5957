// SPDX-License-Identifier: Apache-2.0
#include "userspace/ruleset/nft_socket.h"

#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "userspace/base/status.h"
#include "userspace/ruleset/nft_dump.h"

namespace sandpiper {
namespace {

// A dump arrives in messages of at most 32 KiB (NLMSG_GOODSIZE, and the growth in netlink_dump()).
constexpr size_t kBufferBytes = size_t{64} * 1024;
// Enough for a transaction of some ten thousand elements. On overflow recv(2) fails with ENOBUFS,
// and the rules are read again.
constexpr int kMonitorBytes = 8 << 20;
constexpr int kReadTries = 5;
constexpr useconds_t kReadPauseUs = 2'000;  // doubled after each try

absl::Status SetReceiveBuffer(int fd, int bytes) {
  // SO_RCVBUFFORCE may exceed net.core.rmem_max. Without the capability it fails, and SO_RCVBUF
  // sets as much as is allowed.
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) &&
      setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)))
    return ErrnoStatus(errno, "setting the receive buffer of a netlink socket");
  return absl::OkStatus();
}

}  // namespace

void NftSocket::SocketCloser::operator()(mnl_socket* socket) const { mnl_socket_close(socket); }

absl::StatusOr<NftSocket> NftSocket::Open() {
  Socket query(mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC));
  Socket monitor(mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!query || !monitor)
    return ErrnoStatus(errno, "opening a netlink socket");
  RETURN_IF_ERROR(SetReceiveBuffer(mnl_socket_get_fd(monitor.get()), kMonitorBytes));
  int group = NFNLGRP_NFTABLES;
  if (mnl_socket_bind(query.get(), 0, MNL_SOCKET_AUTOPID) ||
      mnl_socket_bind(monitor.get(), 0, MNL_SOCKET_AUTOPID) ||
      mnl_socket_setsockopt(monitor.get(), NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)))
    return ErrnoStatus(errno, "binding a netlink socket to nftables");
  const timeval patience = {.tv_sec = 5, .tv_usec = 0};
  setsockopt(mnl_socket_get_fd(query.get()), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  return NftSocket(std::move(query), std::move(monitor));
}

int NftSocket::monitor_fd() const { return mnl_socket_get_fd(monitor_.get()); }

UniqueFd NftSocket::OpenNamespace() const { return UniqueFd(ioctl(monitor_fd(), SIOCGSKNS)); }

template <typename Handle>
absl::Status NftSocket::Dump(uint16_t type, const std::string& table, const std::string& set,
                             uint32_t family, Handle handle) {
  std::vector<char> buffer(kBufferBytes);
  const bool dump = type != NFT_MSG_GETGEN;
  const uint32_t sequence = ++sequence_;
  nlmsghdr* request = nftnl_nlmsg_build_hdr(buffer.data(), type, static_cast<uint16_t>(family),
                                            dump ? NLM_F_DUMP : 0, sequence);
  if (!table.empty())
    mnl_attr_put_strz(request, NFTA_SET_ELEM_LIST_TABLE, table.c_str());
  if (!set.empty())
    mnl_attr_put_strz(request, NFTA_SET_ELEM_LIST_SET, set.c_str());
  if (mnl_socket_sendto(query_.get(), request, request->nlmsg_len) < 0)
    return ErrnoStatus(errno, "requesting rules");
  struct Context {
    Handle* handle;
    absl::Status status;
  } context = {&handle, absl::OkStatus()};
  const auto on_message = [](const nlmsghdr* message, void* data) {
    auto* c = static_cast<Context*>(data);
    if (message->nlmsg_flags & NLM_F_DUMP_INTR)
      c->status.Update(absl::AbortedError("the rules changed while they were read"));
    c->status.Update((*c->handle)(message));
    return MNL_CB_OK;
  };
  for (int more = MNL_CB_OK; more > MNL_CB_STOP;) {
    const ssize_t n = mnl_socket_recvfrom(query_.get(), buffer.data(), buffer.size());
    if (n < 0)
      return ErrnoStatus(errno, "reading rules");
    more = mnl_cb_run(buffer.data(), static_cast<size_t>(n), sequence,
                      mnl_socket_get_portid(query_.get()), on_message, &context);
    if (more < 0 && errno == EINTR)
      return absl::AbortedError("the rules changed while they were read");
    if (more < 0)
      return ErrnoStatus(errno, "reading rules");
    if (!dump)
      break;
  }
  return context.status;
}

// Any socket answers this ioctl for its own network namespace.
std::string NftSocket::InterfaceName(uint32_t index) const {
  ifreq request = {};
  request.ifr_ifindex = static_cast<int>(index);
  if (ioctl(mnl_socket_get_fd(query_.get()), SIOCGIFNAME, &request))
    return "";
  return {request.ifr_name, strnlen(request.ifr_name, sizeof(request.ifr_name))};
}

absl::StatusOr<uint32_t> NftSocket::ReadGeneration() {
  uint32_t generation = 0;
  RETURN_IF_ERROR(Dump(NFT_MSG_GETGEN, "", "", AF_UNSPEC, [&](const nlmsghdr* message) {
    generation = ReadGenerationMessage(message).generation;
    return absl::OkStatus();
  }));
  return generation;
}

absl::StatusOr<Ruleset> NftSocket::Read() {
  absl::Status status = absl::OkStatus();
  for (int i = 0; i < kReadTries; ++i) {
    ASSIGN_OR_RETURN(const uint32_t before, ReadGeneration());
    NftDump dump([this](uint32_t index) { return InterfaceName(index); });
    status = Dump(NFT_MSG_GETTABLE, "", "", AF_UNSPEC,
                  [&](const nlmsghdr* m) { return dump.AddTable(m); });
    if (status.ok())
      status = Dump(NFT_MSG_GETCHAIN, "", "", AF_UNSPEC,
                    [&](const nlmsghdr* m) { return dump.AddChain(m); });
    if (status.ok())
      status = Dump(NFT_MSG_GETSET, "", "", AF_UNSPEC,
                    [&](const nlmsghdr* m) { return dump.AddSet(m); });
    if (status.ok())
      status = Dump(NFT_MSG_GETRULE, "", "", AF_UNSPEC,
                    [&](const nlmsghdr* m) { return dump.AddRule(m); });
    const NftSets& sets = dump.sets();
    for (auto set = sets.begin(); status.ok() && set != sets.end(); ++set) {
      const auto& [family, table, name] = set->first;
      status = Dump(NFT_MSG_GETSETELEM, table, name, family,
                    [&](const nlmsghdr* m) { return dump.AddElements(m); });
    }
    if (status.ok())
      status = dump.CheckElements();
    ASSIGN_OR_RETURN(const uint32_t after, ReadGeneration());
    if (status.ok() && before == after)
      return dump.Flatten(after);
    // The messages belong to two generations, and may refer to objects that were removed.
    if (before == after && !absl::IsAborted(status))
      return status;
    usleep(kReadPauseUs << i);
  }
  return status.ok() ? absl::AbortedError("the rules kept changing while they were read") : status;
}

absl::StatusOr<std::vector<TableFlags>> NftSocket::ReadTableFlags() {
  NftDump dump({});
  RETURN_IF_ERROR(Dump(NFT_MSG_GETTABLE, "", "", AF_UNSPEC,
                       [&](const nlmsghdr* m) { return dump.AddTable(m); }));
  return dump.FlaggedTables();
}

absl::Status NftSocket::DrainTransactions(std::vector<NftTransaction>* out) {
  std::vector<char> buffer(kBufferBytes);
  absl::Status status = absl::OkStatus();
  for (;;) {
    const ssize_t n = recv(monitor_fd(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (n < 0 && errno == ENOBUFS) {
      notifications_.OnLoss();
      status = absl::DataLossError("notifications of changed rules were lost");
      continue;
    }
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return n < 0 && errno != EAGAIN && errno != EWOULDBLOCK
                 ? ErrnoStatus(errno, "reading notifications of changed rules")
                 : status;
    notifications_.Read({buffer.data(), static_cast<size_t>(n)}, out);
  }
}

}  // namespace sandpiper
