// Netlink messages of nf_tables: dumps of chains, sets, rules and elements, and notifications of changes. The kernel writes them, from what
// a sandbox asked for.
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <cstring>
#include <vector>

#include "tests/fuzz/fuzz.h"
#include "userspace/ruleset/nft_dump.h"
#include "userspace/ruleset/nft_notifications.h"

namespace {

absl::Status Add(sandpiper::NftDump* dump, const nlmsghdr* message) {
  switch (NFNL_MSG_TYPE(message->nlmsg_type)) {
    case NFT_MSG_NEWCHAIN:
      return dump->AddChain(message);
    case NFT_MSG_NEWSET:
      return dump->AddSet(message);
    case NFT_MSG_NEWRULE:
      return dump->AddRule(message);
    case NFT_MSG_NEWSETELEM:
      return dump->AddElements(message);
    default:
      return absl::OkStatus();
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // As recv(2) would place it.
  std::vector<uint32_t> aligned(size / 4 + 1);
  std::memcpy(aligned.data(), data, size);
  const auto* bytes = reinterpret_cast<const char*>(aligned.data());
  std::vector<sandpiper::NftTransaction> transactions;
  sandpiper::NftNotifications().Read({bytes, size}, &transactions);
  sandpiper::NftDump dump;
  int left = static_cast<int>(size);
  for (auto* message = reinterpret_cast<const nlmsghdr*>(bytes); mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
    if (mnl_nlmsg_get_payload_len(message) >= sizeof(nfgenmsg))
      Add(&dump, message).IgnoreError();
  }
  if (dump.CheckElements().ok())
    dump.Flatten(1);
  return 0;
}
