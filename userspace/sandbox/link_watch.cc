// SPDX-License-Identifier: Apache-2.0
#include "userspace/sandbox/link_watch.h"

#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include <cerrno>
#include <utility>

#include "userspace/base/status.h"

namespace sandpiper {
namespace {

int OnMessage(const nlmsghdr* message, void* changes) {
  if (message->nlmsg_type != RTM_NEWLINK && message->nlmsg_type != RTM_DELLINK)
    return MNL_CB_OK;
  const auto* info = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(message));
  LinkChange change = {.ifindex = static_cast<unsigned>(info->ifi_index),
                       .name = "",
                       .removed = message->nlmsg_type == RTM_DELLINK};
  // libmnl's macro for this loop converts from void* implicitly, which C++ does not allow.
  const auto* attribute =
      static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(message, sizeof(*info)));
  for (; mnl_attr_ok(attribute, static_cast<int>(
                                    static_cast<const char*>(mnl_nlmsg_get_payload_tail(message)) -
                                    reinterpret_cast<const char*>(attribute)));
       attribute = mnl_attr_next(attribute)) {
    if (mnl_attr_get_type(attribute) == IFLA_IFNAME &&
        mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) >= 0)
      change.name = mnl_attr_get_str(attribute);
  }
  static_cast<std::vector<LinkChange>*>(changes)->push_back(std::move(change));
  return MNL_CB_OK;
}

}  // namespace

absl::StatusOr<std::unique_ptr<LinkWatch>> LinkWatch::Open() {
  mnl_socket* socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (!socket)
    return ErrnoStatus(errno, "opening rtnetlink");
  std::unique_ptr<LinkWatch> watch(new LinkWatch(socket));
  if (mnl_socket_bind(socket, RTMGRP_LINK, MNL_SOCKET_AUTOPID))
    return ErrnoStatus(errno, "binding rtnetlink");
  RETURN_IF_ERROR(watch->RequestAll());
  return watch;
}

LinkWatch::~LinkWatch() { mnl_socket_close(socket_); }

int LinkWatch::fd() const { return mnl_socket_get_fd(socket_); }

absl::Status LinkWatch::RequestAll() {
  char buffer[MNL_NLMSG_HDRLEN + sizeof(ifinfomsg) + 64] = {};
  nlmsghdr* request = mnl_nlmsg_put_header(buffer);
  request->nlmsg_type = RTM_GETLINK;
  request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  mnl_nlmsg_put_extra_header(request, sizeof(ifinfomsg));
  return mnl_socket_sendto(socket_, request, request->nlmsg_len) < 0
             ? ErrnoStatus(errno, "asking for all network devices")
             : absl::OkStatus();
}

absl::StatusOr<std::vector<LinkChange>> LinkWatch::Drain() {
  std::vector<LinkChange> received;
  std::vector<LinkChange> out;
  alignas(nlmsghdr) char buffer[32 * 1024];
  for (;;) {
    const ssize_t n = mnl_socket_recvfrom(socket_, buffer, sizeof(buffer));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
      break;
    if (n < 0 && errno == ENOBUFS) {
      RETURN_IF_ERROR(RequestAll());
      continue;
    }
    if (n < 0)
      return ErrnoStatus(errno, "receiving changes of network devices");
    // Notifications and answers arrive mixed: sequence numbers and ports (0) are not checked.
    if (mnl_cb_run(buffer, static_cast<size_t>(n), 0, 0, OnMessage, &received) < 0)
      return ErrnoStatus(errno, "parsing changes of network devices");
  }
  for (LinkChange& change : received) {
    const bool is_new =
        change.removed ? known_.erase(change.ifindex) > 0 : known_.insert(change.ifindex).second;
    if (is_new)
      out.push_back(std::move(change));
  }
  return out;
}

}  // namespace sandpiper
