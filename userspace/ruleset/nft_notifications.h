// SPDX-License-Identifier: Apache-2.0
// Groups the kernel's notifications of changed rules (NFNLGRP_NFTABLES) into transactions.
#ifndef SANDPIPER_USERSPACE_RULESET_NFT_NOTIFICATIONS_H_
#define SANDPIPER_USERSPACE_RULESET_NFT_NOTIFICATIONS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "userspace/base/address.h"

struct nlmsghdr;

namespace sandpiper {

// The attribute `operation` of sandbox.nftables.transactions.
enum class NftOperation {
  kStatic,   // adds tables, chains, rules, sets or permanent elements
  kDynamic,  // changes only elements with a timeout
  kFlush,    // only removes
  kOther,
};
const char* Name(NftOperation operation);

// An element with a timeout. A DNS proxy adds one for each address that it allows.
struct TimedElement {
  std::string table, set;
  Address address;
  uint64_t timeout_ms = 0;  // 0 if the message has no timeout
  bool added = true;
};

struct NftTransaction {
  uint32_t generation = 0;  // of the rule set after the transaction
  uint32_t thread = 0;      // id of the committing thread in the initial pid namespace
  std::string comm;
  NftOperation operation = NftOperation::kOther;
  std::vector<TimedElement> timed;
  uint64_t seen_ns = 0;  // CLOCK_BOOTTIME when we read the notification
};

// Reads NFT_MSG_NEWGEN: the generation, and the thread and command that committed it.
NftTransaction ReadGenerationMessage(const nlmsghdr* message);

class NftNotifications {
 public:
  // Reads the messages of one recv(2). Appends a transaction when its last message arrives.
  void Read(std::string_view messages, std::vector<NftTransaction>* out);
  // Call after the kernel lost notifications: the unfinished transaction is dropped.
  void OnLoss() { open_ = {}; }

 private:
  // The transaction of which not all notifications have arrived.
  struct Unfinished {
    bool adds = false;
    bool removes = false;
    std::vector<TimedElement> timed;
  };

  void OnMessage(const nlmsghdr* message, std::vector<NftTransaction>* out);

  Unfinished open_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RULESET_NFT_NOTIFICATIONS_H_
