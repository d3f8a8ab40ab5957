// SPDX-License-Identifier: Apache-2.0
// Reads netlink messages of nf_tables: dumps of tables, chains, sets, rules and elements, and
// notifications of changes. The kernel writes these messages, so their structure is valid (on
// invalid structure libnftnl ends the process). But a sandbox chooses the values in them. So the
// input changes values only: its first byte selects one of the real messages in ruleset_base, and
// each further three bytes are the position and the new value of one byte of an attribute.
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz.h"
#include "userspace/ruleset/nft_dump.h"
#include "userspace/ruleset/nft_notifications.h"

namespace {

struct Base {
  std::vector<uint32_t> words;  // aligned as a buffer of recv(2)
  size_t bytes = 0;
  std::vector<size_t> value_offsets;  // of bytes in the values of attributes
};

// True if the bytes are a list of attributes. The kernel does not mark every attribute that
// contains others.
bool AreAttributes(const char* at, size_t size) {
  while (size >= sizeof(nlattr)) {
    const auto* attribute = reinterpret_cast<const nlattr*>(at);
    const size_t whole = MNL_ALIGN(attribute->nla_len);
    if (attribute->nla_len < sizeof(nlattr) || whole > size ||
        (attribute->nla_type & NLA_TYPE_MASK) > 64)
      return false;
    at += whole;
    size -= whole;
  }
  return size == 0;
}

void FindValues(const char* begin, const char* at, size_t size, std::vector<size_t>* out) {
  while (size >= sizeof(nlattr)) {
    const auto* attribute = reinterpret_cast<const nlattr*>(at);
    const size_t length = attribute->nla_len - sizeof(nlattr);
    const size_t whole = std::min<size_t>(MNL_ALIGN(attribute->nla_len), size);
    const char* payload = at + sizeof(nlattr);
    if (length >= sizeof(nlattr) && AreAttributes(payload, length)) {
      FindValues(begin, payload, length, out);
    } else if (length > 0) {
      // The NUL at the end of a text must not change.
      for (size_t i = 0; i < length - (payload[length - 1] == 0); ++i)
        out->push_back(static_cast<size_t>(payload - begin) + i);
    }
    at += whole;
    size -= whole;
  }
}

std::vector<Base> ReadBases() {
  std::vector<Base> out;
  for (const auto& entry : std::filesystem::directory_iterator("tests/fuzz/ruleset_base")) {
    std::ifstream file(entry.path(), std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    Base base = {.words = std::vector<uint32_t>(text.size() / 4 + 1),
                 .bytes = text.size(),
                 .value_offsets = {}};
    auto* bytes = reinterpret_cast<char*>(base.words.data());
    std::copy(text.begin(), text.end(), bytes);
    int left = static_cast<int>(text.size());
    for (auto* message = reinterpret_cast<const nlmsghdr*>(bytes); mnl_nlmsg_ok(message, left);
         message = mnl_nlmsg_next(message, &left)) {
      const auto* attributes =
          static_cast<const char*>(mnl_nlmsg_get_payload_offset(message, sizeof(nfgenmsg)));
      FindValues(bytes, attributes, mnl_nlmsg_get_payload_len(message) - sizeof(nfgenmsg),
                 &base.value_offsets);
    }
    out.push_back(std::move(base));
  }
  return out;
}

absl::Status Add(sandpiper::NftDump* dump, const nlmsghdr* message) {
  switch (NFNL_MSG_TYPE(message->nlmsg_type)) {
    case NFT_MSG_NEWTABLE:
      return dump->AddTable(message);
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
  static const std::vector<Base> kBases = ReadBases();
  sandpiper::testing::Require(!kBases.empty(), "tests/fuzz/ruleset_base exists");
  if (size == 0)
    return 0;
  Base base = kBases[data[0] % kBases.size()];
  auto* bytes = reinterpret_cast<char*>(base.words.data());
  for (size_t at = 1; at + 3 <= size; at += 3)
    bytes[base.value_offsets[(data[at] | data[at + 1] << 8) % base.value_offsets.size()]] =
        static_cast<char>(data[at + 2]);
  std::vector<sandpiper::NftTransaction> transactions;
  sandpiper::NftNotifications().Read({bytes, base.bytes}, &transactions);
  sandpiper::NftDump dump([](uint32_t index) { return std::string(index == 1 ? "lo" : ""); });
  int left = static_cast<int>(base.bytes);
  for (auto* message = reinterpret_cast<const nlmsghdr*>(bytes); mnl_nlmsg_ok(message, left);
       message = mnl_nlmsg_next(message, &left))
    Add(&dump, message).IgnoreError();
  if (dump.CheckElements().ok())
    dump.Flatten(1);
  return 0;
}
