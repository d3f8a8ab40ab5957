// SPDX-License-Identifier: Apache-2.0
#include "userspace/correlate/encrypted_dns.h"

#include <gtest/gtest.h>

namespace sandpiper {
namespace {

Address V4(uint8_t a, uint8_t b, uint8_t c, uint8_t d) {
  const uint8_t octets[4] = {a, b, c, d};
  return Address::FromIpv4(octets);
}

TEST(EncryptedDns, Port853IsDotOrDoq) {
  EXPECT_STREQ(EncryptedDns("", V4(192, 0, 2, 1), 853, Transport::kTcp), "dot");
  EXPECT_STREQ(EncryptedDns("any.test", V4(192, 0, 2, 1), 853, Transport::kUdp), "doq");
}

TEST(EncryptedDns, KnownResolverOnPort443IsDoh) {
  EXPECT_STREQ(EncryptedDns("", V4(1, 1, 1, 1), 443, Transport::kTcp), "doh");
  EXPECT_STREQ(EncryptedDns("", V4(8, 8, 4, 4), 443, Transport::kUdp), "doh3");
  EXPECT_STREQ(EncryptedDns("dns.google", V4(192, 0, 2, 1), 443, Transport::kTcp), "doh");
  EXPECT_STREQ(EncryptedDns("abc123.dns.nextdns.io", V4(192, 0, 2, 1), 443, Transport::kTcp),
               "doh");
  const Address quad9 = {{0x26, 0x20, 0, 0xfe, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xfe}};
  EXPECT_STREQ(EncryptedDns("", quad9, 443, Transport::kTcp), "doh");
}

TEST(EncryptedDns, OtherPortsAndHostsAreNot) {
  EXPECT_EQ(EncryptedDns("", V4(1, 1, 1, 1), 80, Transport::kTcp), nullptr);
  EXPECT_EQ(EncryptedDns("", V4(1, 1, 1, 1), 53, Transport::kUdp), nullptr);
  EXPECT_EQ(EncryptedDns("", V4(1, 1, 1, 9), 443, Transport::kTcp), nullptr);
  EXPECT_EQ(EncryptedDns("notdns.google", V4(192, 0, 2, 1), 443, Transport::kTcp), nullptr);
  EXPECT_EQ(EncryptedDns("dns.google.evil.test", V4(192, 0, 2, 1), 443, Transport::kTcp), nullptr);
  EXPECT_EQ(EncryptedDns("", Address{}, 443, Transport::kTcp), nullptr);
}

}  // namespace
}  // namespace sandpiper
