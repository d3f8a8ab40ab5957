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
  void ByteOrder(uint32_t size) {
    nftnl_expr* e = Add("byteorder");
    nftnl_expr_set_u32(e, NFTNL_EXPR_BYTEORDER_SREG, NFT_REG_1);
    nftnl_expr_set_u32(e, NFTNL_EXPR_BYTEORDER_DREG, NFT_REG_1);
    nftnl_expr_set_u32(e, NFTNL_EXPR_BYTEORDER_OP, NFT_BYTEORDER_HTON);
    nftnl_expr_set_u32(e, NFTNL_EXPR_BYTEORDER_LEN, size);
    nftnl_expr_set_u32(e, NFTNL_EXPR_BYTEORDER_SIZE, size);
  }
  void Mask(const std::string& mask) {
    const std::string zero(mask.size(), '\0');
    const auto bytes = static_cast<uint32_t>(mask.size());
    nftnl_expr* e = Add("bitwise");
    nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_SREG, NFT_REG_1);
    nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_DREG, NFT_REG_1);
    nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_LEN, bytes);
    nftnl_expr_set(e, NFTNL_EXPR_BITWISE_MASK, mask.data(), bytes);
    nftnl_expr_set(e, NFTNL_EXPR_BITWISE_XOR, zero.data(), bytes);
  }
  void Immediate(uint32_t to, const std::string& data) {
    nftnl_expr* e = Add("immediate");
    nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, to);
    nftnl_expr_set(e, NFTNL_EXPR_IMM_DATA, data.data(), static_cast<uint32_t>(data.size()));
  }
  static std::string OfHost(uint32_t number) {
    return {reinterpret_cast<const char*>(&number), sizeof(number)};
  }
  void Verdict(int verdict) {
    nftnl_expr* e = Add("immediate");
    nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
    nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_VERDICT, static_cast<uint32_t>(verdict));
  }
  NftRule Decode(uint32_t family = NFPROTO_INET) {
    return DecodeRule(
        rule_.get(), {.family = family, .table = table_, .sets = sets_, .interfaces = interfaces_});
  }
  static std::string Text(const NftRule& rule) {
    std::vector<std::string> parts;
    for (const NftTerm& term : rule.terms) {
      if (!term.implied)
        parts.push_back(term.Text());
    }
    return absl::StrJoin(parts, " ");
  }

  std::unique_ptr<nftnl_rule, decltype(&nftnl_rule_free)> rule_{nftnl_rule_alloc(),
                                                                nftnl_rule_free};
  const std::string table_ = "t";
  NftSets sets_;
  const NftInterfaces interfaces_ = [](uint32_t index) {
    return std::string(index == 7 ? "eth0" : "");
  };
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
  EXPECT_TRUE(rule.terms[1].destination);
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
  EXPECT_FALSE(Decode(NFPROTO_IPV4).terms[0].destination);
}

TEST_F(NftRuleTest, SetsAreNamedExpandedOrUnknown) {
  sets_[{NFPROTO_IPV4, "t", "s"}] = {
      .name = "s", .key_bytes = 4, .elements = {{.key = std::string("\x01\x02\x03\x04", 4)}}};
  Payload(NFT_PAYLOAD_NETWORK_HEADER, 16, 4);
  Lookup("s");
  Lookup("nowhere");
  const NftRule rule = Decode(NFPROTO_IPV4);
  ASSERT_EQ(rule.terms.size(), 2u);
  EXPECT_TRUE(rule.terms[0].expands);
  EXPECT_EQ(rule.terms[0].values[0].text, "1.2.3.4");
  EXPECT_EQ(rule.terms[1].kind, NftTerm::Kind::kLimit)
      << "a condition on an unknown set is told in libnftnl's words";
  EXPECT_NE(rule.terms[1].subject.find("nowhere"), std::string::npos);
  sets_.begin()->second.timed = true;
  EXPECT_FALSE(Decode(NFPROTO_IPV4).terms[0].expands);
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

TEST_F(NftRuleTest, ByteOrderTurnsTheNumbersOfARange) {
  Meta(NFT_META_SKUID);
  ByteOrder(4);
  Compare(std::string("\0\0\x03\xe8", 4), NFT_CMP_GTE);
  Compare(std::string("\0\0\x07\xcf", 4), NFT_CMP_LTE);
  EXPECT_EQ(Text(Decode()), "meta skuid 1000-1999");
}

TEST_F(NftRuleTest, BoundsOfTwoLoadsAreNoRange) {
  Payload(NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2);
  Compare(std::string("\0\x50", 2), NFT_CMP_GTE);
  Payload(NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2);
  Compare(std::string("\0\x5a", 2), NFT_CMP_LTE);
  EXPECT_EQ(Text(Decode()), "th sport >= 80 th dport <= 90");
}

TEST_F(NftRuleTest, MaskOfAMarkIsPrintedInTheOrderOfTheHost) {
  Meta(NFT_META_MARK);
  Mask(OfHost(0x4000));
  Compare(OfHost(0), NFT_CMP_NEQ);
  EXPECT_EQ(Text(Decode()), "meta mark & 0x00004000 != 0x00000000");
}

TEST_F(NftRuleTest, MaskOfAFieldSelectsTheField) {
  Payload(NFT_PAYLOAD_NETWORK_HEADER, 1, 1);
  Mask("\xfc");
  Compare("\x20");
  EXPECT_EQ(Text(Decode(NFPROTO_IPV4)), "ip dscp cs1");
}

TEST_F(NftRuleTest, SetOfBitsIsPrintedAsFlags) {
  Meta(NFT_META_L4PROTO);
  Compare("\x06");
  Payload(NFT_PAYLOAD_TRANSPORT_HEADER, 13, 1);
  Mask("\x17");
  Compare("\x02");
  EXPECT_EQ(Text(Decode()), "tcp flags syn / fin,syn,rst,ack");
}

TEST_F(NftRuleTest, NeighbouringFieldsAreDivided) {
  Meta(NFT_META_L4PROTO);
  Compare("\x11");
  Payload(NFT_PAYLOAD_TRANSPORT_HEADER, 0, 4);
  Compare(std::string("\x04\0\0\x35", 4));
  EXPECT_EQ(Text(Decode()), "udp sport 1024 udp dport 53");
  rule_.reset(nftnl_rule_alloc());
  Payload(NFT_PAYLOAD_NETWORK_HEADER, 12, 8);
  Compare(std::string("\x0a\0\0\x01\x0a\0\0\x02", 8));
  const NftRule rule = Decode(NFPROTO_IPV4);
  EXPECT_EQ(Text(rule), "ip saddr 10.0.0.1 ip daddr 10.0.0.2");
  EXPECT_TRUE(rule.terms[1].destination);
}

TEST_F(NftRuleTest, ProtocolOfTheIpHeaderStaysInOtherFamilies) {
  Meta(NFT_META_NFPROTO);
  Compare("\x02");
  Payload(NFT_PAYLOAD_NETWORK_HEADER, 9, 1);
  Compare("\x06");
  Payload(NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2);
  Compare(std::string("\0\x16", 2));
  EXPECT_EQ(Text(Decode()), "ip protocol tcp tcp dport 22")
      << "else the rule seems to include IPv6";
}

TEST_F(NftRuleTest, FactOfTheRouteDoesNotIncludeTheFamily) {
  Meta(NFT_META_NFPROTO);
  Compare("\x0a");
  nftnl_expr* e = Add("rt");
  nftnl_expr_set_u32(e, NFTNL_EXPR_RT_KEY, NFT_RT_CLASSID);
  nftnl_expr_set_u32(e, NFTNL_EXPR_RT_DREG, NFT_REG_1);
  Compare(OfHost(5));
  EXPECT_EQ(Text(Decode()), "meta nfproto ipv6 rt classid 5");
}

TEST_F(NftRuleTest, InterfaceHasItsName) {
  Meta(NFT_META_OIF);
  Compare(OfHost(7));
  Compare(OfHost(8));
  EXPECT_EQ(Text(Decode()), "oif \"eth0\" oif 8");
}

TEST_F(NftRuleTest, QueueHasItsNumbersAndFlags) {
  nftnl_expr* e = Add("queue");
  nftnl_expr_set_u16(e, NFTNL_EXPR_QUEUE_NUM, 3);
  nftnl_expr_set_u16(e, NFTNL_EXPR_QUEUE_TOTAL, 1);
  nftnl_expr_set_u16(e, NFTNL_EXPR_QUEUE_FLAGS, NFT_QUEUE_FLAG_BYPASS);
  e = Add("queue");
  nftnl_expr_set_u16(e, NFTNL_EXPR_QUEUE_NUM, 0);
  nftnl_expr_set_u16(e, NFTNL_EXPR_QUEUE_TOTAL, 4);
  nftnl_expr_set_u16(e, NFTNL_EXPR_QUEUE_FLAGS, NFT_QUEUE_FLAG_CPU_FANOUT);
  const NftRule rule = Decode();
  EXPECT_EQ(Text(rule), "queue flags bypass to 3 queue flags fanout to 0-3");
  EXPECT_EQ(rule.verdict, NftVerdict::kNone);
}

TEST_F(NftRuleTest, FibHasItsKeysAndResult) {
  nftnl_expr* e = Add("fib");
  nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_DREG, NFT_REG_1);
  nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_FLAGS, NFTA_FIB_F_SADDR | NFTA_FIB_F_IIF);
  nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
  Compare(OfHost(2));
  e = Add("fib");
  nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_DREG, NFT_REG_1);
  nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_FLAGS, NFTA_FIB_F_SADDR | NFTA_FIB_F_PRESENT);
  nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_OIF);
  Compare(std::string(1, '\0'));
  EXPECT_EQ(Text(Decode()), "fib saddr . iif type local fib saddr oif missing");
}

TEST_F(NftRuleTest, NatHasItsAddressAndPorts) {
  Immediate(NFT_REG_1, std::string("\x0a\0\0\x01", 4));
  Immediate(NFT_REG_2, std::string("\x1f\x90", 2));
  nftnl_expr* e = Add("nat");
  nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_TYPE, NFT_NAT_DNAT);
  nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_FAMILY, NFPROTO_IPV4);
  nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_REG_ADDR_MIN, NFT_REG_1);
  nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_REG_PROTO_MIN, NFT_REG_2);
  EXPECT_EQ(Text(Decode()), "dnat ip to 10.0.0.1:8080");
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
