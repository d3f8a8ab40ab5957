// SPDX-License-Identifier: Apache-2.0
#include "userspace/event/dns_names.h"

#include <gtest/gtest.h>
#include <ldns/ldns.h>

#include <cstdlib>
#include <string>

namespace sandpiper {
namespace {

// ldns knows fewer types, and writes "TYPE<n>" for the others.
TEST(DnsNames, TypesHaveTheNamesOfLdns) {
  int compared = 0;
  for (unsigned type = 0; type <= 0xffff; ++type) {
    char* const text = ldns_rr_type2str(static_cast<ldns_rr_type>(type));
    const std::string theirs = text;
    free(text);
    if (theirs.starts_with("TYPE"))
      continue;
    EXPECT_EQ(DnsTypeName(static_cast<uint16_t>(type)), theirs) << type;
    ++compared;
  }
  EXPECT_GE(compared, 75);
}

TEST(DnsNames, OpcodesAndRcodesHaveTheNamesOfLdns) {
  for (const ldns_lookup_table* row = ldns_opcodes; row->name; ++row)
    EXPECT_EQ(DnsOpcodeName(static_cast<uint8_t>(row->id)), std::string(row->name));
  for (const ldns_lookup_table* row = ldns_rcodes; row->name; ++row) {
    if (row->id == 4 || row->id >= 16)  // ldns writes NOTIMPL for IANA's NotImp
      continue;
    EXPECT_EQ(DnsRcodeName(static_cast<uint16_t>(row->id)), std::string(row->name));
  }
}

TEST(DnsNames, NumbersNewerThanLdnsHaveTheirNames) {
  EXPECT_EQ(DnsTypeName(128), "NXNAME");
  EXPECT_EQ(DnsTypeName(261), "RESINFO");
  EXPECT_EQ(DnsTypeName(66), "DSYNC");
  EXPECT_EQ(DnsRcodeName(11), "DSOTYPENI");
  EXPECT_EQ(DnsRcodeName(16), "BADVERS");
  EXPECT_EQ(DnsRcodeName(23), "BADCOOKIE");
  EXPECT_EQ(DnsOpcodeName(6), "DSO");
  EXPECT_EQ(DnsClassName(3), "CH");
}

TEST(DnsNames, UnknownNumbersHaveGenericNames) {
  EXPECT_EQ(DnsTypeName(65280), "TYPE65280");
  EXPECT_EQ(DnsTypeName(54), "TYPE54");
  EXPECT_EQ(DnsRcodeName(12), "RCODE12");
  EXPECT_EQ(DnsRcodeName(4095), "RCODE4095");
  EXPECT_EQ(DnsOpcodeName(3), "OPCODE3");
  EXPECT_EQ(DnsClassName(2), "CLASS2");
}

}  // namespace
}  // namespace sandpiper
