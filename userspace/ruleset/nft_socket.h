// SPDX-License-Identifier: Apache-2.0
// nftables of one network namespace over netlink: what is in force, and word of each change
// (NFNLGRP_NFTABLES).
#ifndef SANDPIPER_USERSPACE_RULESET_NFT_SOCKET_H_
#define SANDPIPER_USERSPACE_RULESET_NFT_SOCKET_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "userspace/ruleset/nft_notifications.h"
#include "userspace/ruleset/ruleset.h"

struct mnl_socket;

namespace sandpiper {

class NftSocket {
 public:
  // In the network namespace of the calling thread; needs CAP_NET_ADMIN there. The sockets keep the
  // namespace alive. nf_tables must be there: to ask for its notifications loads it.
  static absl::StatusOr<NftSocket> Open();

  // One consistent reading. Aborted if the rules kept changing, DataLoss if a message was not
  // understood.
  absl::StatusOr<Ruleset> Read();

  // Takes all notifications that have come, without waiting. DataLoss if some were lost: what they
  // told is to be read anew.
  absl::Status DrainTransactions(std::vector<NftTransaction>* out);

  int monitor_fd() const;

 private:
  struct SocketCloser {
    void operator()(mnl_socket* socket) const;
  };
  using Socket = std::unique_ptr<mnl_socket, SocketCloser>;

  NftSocket(Socket query, Socket monitor)
      : query_(std::move(query)), monitor_(std::move(monitor)) {}

  absl::StatusOr<uint32_t> ReadGeneration();
  template <typename Handle>
  absl::Status Dump(uint16_t type, const std::string& table, const std::string& set,
                    uint32_t family, Handle handle);

  Socket query_, monitor_;
  uint32_t sequence_ = 0;
  NftNotifications notifications_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RULESET_NFT_SOCKET_H_
