// SPDX-License-Identifier: Apache-2.0
// What the kernel tells of changed rules (NFNLGRP_NFTABLES), put together to transactions.
#ifndef SANDPIPER_USERSPACE_RULESET_NFT_NOTIFICATIONS_H_
#define SANDPIPER_USERSPACE_RULESET_NFT_NOTIFICATIONS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "userspace/base/address.h"

struct nlmsghdr;

namespace sandpiper {

// The `operation` attribute of sandbox.nftables.transactions: changes rules, chains or permanent
// elements; only elements with a timeout; only takes away; none of these.
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

// NFT_MSG_NEWGEN: which generation, and who made it.
NftTransaction ReadGenerationMessage(const nlmsghdr* message);

class NftNotifications {
 public:
  // Netlink messages as one recv(2) gives them. Each transaction is appended once the message that
  // ends it is in.
  void Read(std::string_view messages, std::vector<NftTransaction>* out);
  // Some did not come.
  void OnLoss() { open_ = {}; }

 private:
  // What is known of the transaction whose notifications are coming in.
  struct Unfinished {
    bool adds = false, removes = false;
    std::vector<TimedElement> timed;
  };

  void OnMessage(const nlmsghdr* message, std::vector<NftTransaction>* out);

  Unfinished open_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RULESET_NFT_NOTIFICATIONS_H_
