// SPDX-License-Identifier: Apache-2.0
// Reads the nftables of one network namespace over netlink, and receives a notification of each
// change (NFNLGRP_NFTABLES). Used by one thread.
#ifndef SANDPIPER_USERSPACE_RULESET_NFT_SOCKET_H_
#define SANDPIPER_USERSPACE_RULESET_NFT_SOCKET_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "userspace/base/fd.h"
#include "userspace/ruleset/nft_notifications.h"
#include "userspace/ruleset/ruleset.h"

struct mnl_socket;

namespace sandpiper {

class NftSocket {
 public:
  // Opens the sockets in the network namespace of the calling thread, which needs CAP_NET_ADMIN
  // there. They keep the namespace alive. Subscribing loads the module nf_tables, so call this only
  // if it is loaded already.
  static absl::StatusOr<NftSocket> Open();

  // Reads the rules of one generation. Aborted if the rules kept changing, DataLoss if a message
  // cannot be parsed. Blocks for up to five seconds.
  absl::StatusOr<Ruleset> Read();

  // The tables of Ruleset::tables alone, as they are now.
  absl::StatusOr<std::vector<TableFlags>> ReadTableFlags();

  // Appends the transactions of all notifications that have arrived, without waiting. DataLoss if
  // the kernel lost some: the rules have to be read again.
  absl::Status DrainTransactions(std::vector<NftTransaction>* out);

  int monitor_fd() const;
  // The network namespace of the sockets. Not ok on an error.
  UniqueFd OpenNamespace() const;

 private:
  struct SocketCloser {
    void operator()(mnl_socket* socket) const;
  };
  using Socket = std::unique_ptr<mnl_socket, SocketCloser>;

  NftSocket(Socket query, Socket monitor)
      : query_(std::move(query)), monitor_(std::move(monitor)) {}

  // Empty if there is no interface with this index.
  std::string InterfaceName(uint32_t index) const;
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
