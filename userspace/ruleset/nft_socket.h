// nftables of one network namespace over netlink: what is in force, and word of each change (NFNLGRP_NFTABLES).
#ifndef SANDPIPER_USERSPACE_RULESET_NFT_SOCKET_H_
#define SANDPIPER_USERSPACE_RULESET_NFT_SOCKET_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "userspace/event/address.h"
#include "userspace/ruleset/ruleset.h"

struct mnl_socket;
struct nlmsghdr;

namespace sandpiper {

// The `operation` attribute of sandbox.nftables.transactions: changes rules, chains or permanent elements; only elements with a timeout;
// only takes away; none of these.
enum class NftOperation { kStatic, kDynamic, kFlush, kOther };
const char* Name(NftOperation operation);

// An element with a timeout, as a DNS proxy adds it for an address that it lets through.
struct TimedElement {
  std::string table, set;
  Address address;
  uint64_t timeout_ms = 0;  // 0 where the message does not say
  bool added = true;
};

struct NftTransaction {
  uint32_t generation = 0;  // after it
  uint32_t thread = 0;      // who committed it, in the init pid namespace
  std::string comm;
  NftOperation operation = NftOperation::kOther;
  std::vector<TimedElement> timed;
  uint64_t seen_ns = 0;  // CLOCK_BOOTTIME when we read it, soon after
};

class NftSocket {
 public:
  // In the network namespace of the calling thread; needs CAP_NET_ADMIN there. The sockets keep the namespace alive.
  // nf_tables must be there: to ask for its notifications loads it.
  static absl::StatusOr<NftSocket> Open();

  // One consistent reading. Aborted if the rules kept changing, DataLoss if a message was not understood.
  absl::StatusOr<Ruleset> Read();

  // Takes all notifications that have come, without waiting. DataLoss if some were lost: what they told is to be read anew.
  absl::Status TakeTransactions(std::vector<NftTransaction>* out);

  int monitor_fd() const;

 private:
  struct SocketCloser {
    void operator()(mnl_socket* socket) const;
  };
  using Socket = std::unique_ptr<mnl_socket, SocketCloser>;
  // What is known of the transaction whose notifications are coming in.
  struct Unfinished {
    bool adds = false, removes = false;
    std::vector<TimedElement> timed;
  };

  NftSocket(Socket query, Socket monitor) : query_(std::move(query)), monitor_(std::move(monitor)) {}

  absl::StatusOr<uint32_t> ReadGeneration();
  template <typename Handle>
  absl::Status Dump(uint16_t type, const std::string& table, const std::string& set, uint32_t family, Handle handle);
  void OnNotification(const nlmsghdr* message, std::vector<NftTransaction>* out);

  Socket query_, monitor_;
  uint32_t sequence_ = 0;
  Unfinished open_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RULESET_NFT_SOCKET_H_
