// SPDX-License-Identifier: Apache-2.0
#include "userspace/ruleset/nft_rule.h"

#include <gtest/gtest.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include <memory>

#include "absl/strings/str_join.h"

namespace sandpiper {
namespace {

// Builds rules from expressions, as the kernel keeps them.
class NftRuleTest : public ::testing::Test {
 protected:
  nftnl_expr* Add(const char* name) {
    nftnl_expr* expr = nftnl_expr_alloc(name);
    nftnl_rule_add_expr(rule_.get(), expr);
    return expr;
  }
  void Meta(uint32_t key, uint32_t to = NFT_REG_1) {
    nftnl_expr* e = Add("meta");
    nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, key);
    nftnl_expr_set_u32(e, NFTNL_EXPR_META_DREG, to);
  }
  void Payload(uint32_t base, uint32_t offset, uint32_t bytes, uint32_t to = NFT_REG_1) {
    nftnl_expr* e = Add("payload");
    nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, base);
    nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
    nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, bytes);
    nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_DREG, to);
  }
  void Compare(const std::string& data, uint32_t op = NFT_CMP_EQ) {
    nftnl_expr* e = Add("cmp");
    nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
    nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_OP, op);
    nftnl_expr_set(e, NFTNL_EXPR_CMP_DATA, data.data(), static_cast<uint32_t>(data.size()));
  }
  void Lookup(const char* set, uint32_t from = NFT_REG_1) {
    nftnl_expr* e = Add("lookup");
    nftnl_expr_set_str(e, NFTNL_EXPR_LOOKUP_SET, set);
    nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SREG, from);
  }
  void Verdict(int verdict) {
    nftnl_expr* e = Add("immediate");
    nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
    nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_VERDICT, static_cast<uint32_t>(verdict));
  }
  NftRule Decode(uint32_t family = NFPROTO_INET) {
    return DecodeRule(rule_.get(), family, "t", sets_);
  }
  static std::string Text(const NftRule& rule) {
    std::vector<std::string> parts;
    for (const NftCondition& condition : rule.conditions) {
      if (!condition.implied)
        parts.push_back(condition.Text());
    }
    parts.insert(parts.end(), rule.statements.begin(), rule.statements.end());
    return absl::StrJoin(parts, " ");
  }

  std::unique_ptr<nftnl_rule, decltype(&nftnl_rule_free)> rule_{nftnl_rule_alloc(),
                                                                nftnl_rule_free};
  NftSets sets_;
};

TEST_F(NftRuleTest, AddressAndPortImplyFamilyAndProtocol) {
  Meta(NFT_META_NFPROTO);
  Compare("\x02");
  Payload(NFT_PAYLOAD_NETWORK_HEADER, 16, 4);
  Compare(std::string("\x0a\x00\x00\x01", 4));
  Meta(NFT_META_L4PROTO);
  Compare("\x06");
  Payload(NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2);
  Compare(std::string("\x01\xbb", 2));
  Add("counter");
  Verdict(NF_ACCEPT);
  const NftRule rule = Decode();
  EXPECT_EQ(Text(rule), "ip daddr 10.0.0.1 tcp dport 443");
  EXPECT_EQ(rule.verdict, NftVerdict::kAccept);
  EXPECT_TRUE(rule.conditions[1].destination);
}

TEST_F(NftRuleTest, HeaderWithoutAFamilyIsPrintedRaw) {
  Payload(NFT_PAYLOAD_NETWORK_HEADER, 16, 4);
  Compare(std::string("\x0a\x00\x00\x01", 4));
  Payload(NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2);
  Compare(std::string("\x00\x35", 2), NFT_CMP_NEQ);
  EXPECT_EQ(Text(Decode(NFPROTO_INET)), "@nh,128,32 0x0a000001 th dport != 53");
  EXPECT_EQ(Text(Decode(NFPROTO_IPV4)), "ip daddr 10.0.0.1 th dport != 53");
}

TEST_F(NftRuleTest, NegatedAddressIsNoDestination) {
  Payload(NFT_PAYLOAD_NETWORK_HEADER, 16, 4);
  Compare(std::string("\x0a\x00\x00\x01", 4), NFT_CMP_NEQ);
  EXPECT_FALSE(Decode(NFPROTO_IPV4).conditions[0].destination);
}

TEST_F(NftRuleTest, SetsAreNamedExpandedOrUnknown) {
  sets_[{NFPROTO_IPV4, "t", "s"}] = {
      .name = "s", .key_bytes = 4, .elements = {{.key = std::string("\x01\x02\x03\x04", 4)}}};
  Payload(NFT_PAYLOAD_NETWORK_HEADER, 16, 4);
  Lookup("s");
  Lookup("nowhere");
  const NftRule rule = Decode(NFPROTO_IPV4);
  ASSERT_EQ(rule.conditions.size(), 1u);
  EXPECT_TRUE(rule.conditions[0].expands);
  EXPECT_EQ(rule.conditions[0].values[0].text, "1.2.3.4");
  ASSERT_EQ(rule.statements.size(), 1u) << "a set that is not known is told in libnftnl's words";
  EXPECT_NE(rule.statements[0].find("nowhere"), std::string::npos);
  sets_.begin()->second.timed = true;
  EXPECT_FALSE(Decode(NFPROTO_IPV4).conditions[0].expands);
}

TEST_F(NftRuleTest, InvalidRegistersAreIgnored) {
  for (const uint32_t number : {0u, 5u, 7u, 24u, 1000u, 0xffffffffu}) {
    Meta(NFT_META_MARK, number);
    Payload(NFT_PAYLOAD_NETWORK_HEADER, 16, 4, number);
    Lookup("s", number);
  }
  Compare("\x01");
  EXPECT_EQ(Decode().verdict, NftVerdict::kNone);
}

TEST_F(NftRuleTest, MapsTheVerdictsOfTheKernel) {
  EXPECT_EQ(ToVerdict(NF_DROP), NftVerdict::kDeny);
  EXPECT_EQ(ToVerdict(static_cast<uint32_t>(NFT_JUMP)), NftVerdict::kJump);
  EXPECT_EQ(ToVerdict(static_cast<uint32_t>(NFT_RETURN)), NftVerdict::kReturn);
  EXPECT_EQ(ToVerdict(NF_QUEUE), NftVerdict::kNone);
  Add("reject");
  EXPECT_EQ(Decode().verdict, NftVerdict::kDeny);
}

}  // namespace
}  // namespace sandpiper
