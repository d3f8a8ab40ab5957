// SPDX-License-Identifier: Apache-2.0
#include "userspace/ruleset/nft_notifications.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <libnftnl/set.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "userspace/base/clock.h"

namespace sandpiper {
namespace {

uint16_t MessageType(const nlmsghdr* message) { return NFNL_MSG_TYPE(message->nlmsg_type); }

std::optional<Address> ToAddress(std::string_view key) {
  Address address;
  if (key.size() == 4) {
    uint8_t octets[4];
    std::copy(key.begin(), key.end(), octets);
    return Address::FromIpv4(octets);
  }
  if (key.size() != 16)
    return std::nullopt;
  std::copy(key.begin(), key.end(), address.bytes.begin());
  return address;
}

// Appends the elements of a message that have a timeout; false if one has none.
bool ReadTimed(const nlmsghdr* message, bool added, std::vector<TimedElement>* out) {
  const std::unique_ptr<nftnl_set, decltype(&nftnl_set_free)> set(nftnl_set_alloc(),
                                                                  nftnl_set_free);
  if (nftnl_set_elems_nlmsg_parse(message, set.get()) < 0)
    return false;
  struct Context {
    std::vector<TimedElement>* out;
    const char *table, *name;
    bool added, all_timed = true;
  } context = {out, nftnl_set_get_str(set.get(), NFTNL_SET_TABLE),
               nftnl_set_get_str(set.get(), NFTNL_SET_NAME), added};
  const auto visit = [](nftnl_set_elem* e, void* data) {
    auto* c = static_cast<Context*>(data);
    if (!nftnl_set_elem_is_set(e, NFTNL_SET_ELEM_EXPIRATION) &&
        !nftnl_set_elem_is_set(e, NFTNL_SET_ELEM_TIMEOUT)) {
      c->all_timed = false;
      return 0;
    }
    uint32_t length = 0;
    const auto* key = static_cast<const char*>(nftnl_set_elem_get(e, NFTNL_SET_ELEM_KEY, &length));
    const auto address = key ? ToAddress({key, length}) : std::nullopt;
    if (address) {
      const uint16_t attribute = nftnl_set_elem_is_set(e, NFTNL_SET_ELEM_TIMEOUT)
                                     ? NFTNL_SET_ELEM_TIMEOUT
                                     : NFTNL_SET_ELEM_EXPIRATION;
      c->out->push_back({.table = c->table ? c->table : "",
                         .set = c->name ? c->name : "",
                         .address = *address,
                         .timeout_ms = nftnl_set_elem_get_u64(e, attribute),
                         .added = c->added});
    }
    return 0;
  };
  nftnl_set_elem_foreach(set.get(), visit, &context);
  return context.all_timed;
}

}  // namespace

const char* Name(NftOperation operation) {
  static constexpr const char* kNames[] = {"static", "dynamic", "flush", "other"};
  return kNames[static_cast<int>(operation)];
}

NftTransaction ReadGenerationMessage(const nlmsghdr* message) {
  NftTransaction out;
  const auto on_attribute = [](const nlattr* attribute, void* data) {
    auto* transaction = static_cast<NftTransaction*>(data);
    const size_t bytes = mnl_attr_get_payload_len(attribute);
    if (mnl_attr_get_type(attribute) == NFTA_GEN_ID && bytes >= 4)
      transaction->generation = ntohl(mnl_attr_get_u32(attribute));
    else if (mnl_attr_get_type(attribute) == NFTA_GEN_PROC_PID && bytes >= 4)
      transaction->thread = ntohl(mnl_attr_get_u32(attribute));
    else if (mnl_attr_get_type(attribute) == NFTA_GEN_PROC_NAME)
      transaction->comm = {mnl_attr_get_str(attribute),
                           strnlen(mnl_attr_get_str(attribute), bytes)};
    return MNL_CB_OK;
  };
  mnl_attr_parse(message, sizeof(nfgenmsg), on_attribute, &out);
  return out;
}

void NftNotifications::OnMessage(const nlmsghdr* message, std::vector<NftTransaction>* out) {
  switch (MessageType(message)) {
    case NFT_MSG_NEWGEN: {
      NftTransaction transaction = ReadGenerationMessage(message);
      transaction.timed = std::move(open_.timed);
      transaction.seen_ns = BootNow();
      if (open_.adds)
        transaction.operation = NftOperation::kStatic;
      else if (open_.removes)
        transaction.operation = NftOperation::kFlush;
      else if (!transaction.timed.empty())
        transaction.operation = NftOperation::kDynamic;
      out->push_back(std::move(transaction));
      open_ = {};
      return;
    }
    case NFT_MSG_NEWTABLE:
    case NFT_MSG_NEWCHAIN:
    case NFT_MSG_NEWRULE:
    case NFT_MSG_NEWSET:
      open_.adds = true;
      return;
    case NFT_MSG_DELTABLE:
    case NFT_MSG_DELCHAIN:
    case NFT_MSG_DELRULE:
    case NFT_MSG_DELSET:
      open_.removes = true;
      return;
    case NFT_MSG_NEWSETELEM:
      open_.adds |= !ReadTimed(message, true, &open_.timed);
      return;
    case NFT_MSG_DELSETELEM:
      open_.removes |= !ReadTimed(message, false, &open_.timed);
      return;
    default:
      return;
  }
}

void NftNotifications::Read(std::string_view messages, std::vector<NftTransaction>* out) {
  int left = static_cast<int>(messages.size());
  for (auto* message = reinterpret_cast<const nlmsghdr*>(messages.data());
       mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
    if (NFNL_SUBSYS_ID(message->nlmsg_type) == NFNL_SUBSYS_NFTABLES)
      OnMessage(message, out);
  }
}

}  // namespace sandpiper
