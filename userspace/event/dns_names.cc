// SPDX-License-Identifier: Apache-2.0
#include "userspace/event/dns_names.h"

#include <algorithm>
#include <iterator>
#include <string_view>

#include "absl/strings/str_cat.h"

namespace sandpiper {
namespace {

struct Name {
  uint16_t number;
  std::string_view text;
};

// Tables are sorted by number. Debian's libraries for DNS (ldns 1.8, c-ares 1.18) lack the types
// since 2021, so the names are written down here. A test compares them with those that ldns has.
constexpr Name kTypes[] = {
    {1, "A"},           {2, "NS"},        {3, "MD"},        {4, "MF"},       {5, "CNAME"},
    {6, "SOA"},         {7, "MB"},        {8, "MG"},        {9, "MR"},       {10, "NULL"},
    {11, "WKS"},        {12, "PTR"},      {13, "HINFO"},    {14, "MINFO"},   {15, "MX"},
    {16, "TXT"},        {17, "RP"},       {18, "AFSDB"},    {19, "X25"},     {20, "ISDN"},
    {21, "RT"},         {22, "NSAP"},     {23, "NSAP-PTR"}, {24, "SIG"},     {25, "KEY"},
    {26, "PX"},         {27, "GPOS"},     {28, "AAAA"},     {29, "LOC"},     {30, "NXT"},
    {31, "EID"},        {32, "NIMLOC"},   {33, "SRV"},      {34, "ATMA"},    {35, "NAPTR"},
    {36, "KX"},         {37, "CERT"},     {38, "A6"},       {39, "DNAME"},   {40, "SINK"},
    {41, "OPT"},        {42, "APL"},      {43, "DS"},       {44, "SSHFP"},   {45, "IPSECKEY"},
    {46, "RRSIG"},      {47, "NSEC"},     {48, "DNSKEY"},   {49, "DHCID"},   {50, "NSEC3"},
    {51, "NSEC3PARAM"}, {52, "TLSA"},     {53, "SMIMEA"},   {55, "HIP"},     {56, "NINFO"},
    {57, "RKEY"},       {58, "TALINK"},   {59, "CDS"},      {60, "CDNSKEY"}, {61, "OPENPGPKEY"},
    {62, "CSYNC"},      {63, "ZONEMD"},   {64, "SVCB"},     {65, "HTTPS"},   {66, "DSYNC"},
    {67, "HHIT"},       {68, "BRID"},     {99, "SPF"},      {100, "UINFO"},  {101, "UID"},
    {102, "GID"},       {103, "UNSPEC"},  {104, "NID"},     {105, "L32"},    {106, "L64"},
    {107, "LP"},        {108, "EUI48"},   {109, "EUI64"},   {128, "NXNAME"}, {249, "TKEY"},
    {250, "TSIG"},      {251, "IXFR"},    {252, "AXFR"},    {253, "MAILB"},  {254, "MAILA"},
    {255, "ANY"},       {256, "URI"},     {257, "CAA"},     {258, "AVC"},    {259, "DOA"},
    {260, "AMTRELAY"},  {261, "RESINFO"}, {262, "WALLET"},  {263, "CLA"},    {264, "IPN"},
    {32768, "TA"},      {32769, "DLV"}};
constexpr Name kClasses[] = {{1, "IN"}, {3, "CH"}, {4, "HS"}, {254, "NONE"}, {255, "ANY"}};
constexpr Name kOpcodes[] = {{0, "QUERY"},  {1, "IQUERY"}, {2, "STATUS"},
                             {4, "NOTIFY"}, {5, "UPDATE"}, {6, "DSO"}};
// 16 is BADVERS in EDNS, and BADSIG in TSIG records, which are not read.
constexpr Name kRcodes[] = {{0, "NOERROR"},  {1, "FORMERR"}, {2, "SERVFAIL"},  {3, "NXDOMAIN"},
                            {4, "NOTIMP"},   {5, "REFUSED"}, {6, "YXDOMAIN"},  {7, "YXRRSET"},
                            {8, "NXRRSET"},  {9, "NOTAUTH"}, {10, "NOTZONE"},  {11, "DSOTYPENI"},
                            {16, "BADVERS"}, {17, "BADKEY"}, {18, "BADTIME"},  {19, "BADMODE"},
                            {20, "BADNAME"}, {21, "BADALG"}, {22, "BADTRUNC"}, {23, "BADCOOKIE"}};

template <size_t N>
consteval bool IsSorted(const Name (&names)[N]) {
  return std::adjacent_find(std::begin(names), std::end(names), [](const Name& a, const Name& b) {
           return a.number >= b.number;
         }) == std::end(names);
}
static_assert(IsSorted(kTypes) && IsSorted(kClasses) && IsSorted(kOpcodes) && IsSorted(kRcodes));

template <size_t N>
SharedText Find(const Name (&names)[N], std::string_view kind, uint16_t number) {
  const Name* const found =
      std::lower_bound(std::begin(names), std::end(names), number,
                       [](const Name& name, uint16_t wanted) { return name.number < wanted; });
  if (found != std::end(names) && found->number == number)
    return SharedText::FromLiteral(found->text);
  return absl::StrCat(std::string(kind), number);
}

}  // namespace

SharedText DnsTypeName(uint16_t type) { return Find(kTypes, "TYPE", type); }
SharedText DnsClassName(uint16_t dns_class) { return Find(kClasses, "CLASS", dns_class); }
SharedText DnsOpcodeName(uint8_t opcode) { return Find(kOpcodes, "OPCODE", opcode); }
SharedText DnsRcodeName(uint16_t rcode) { return Find(kRcodes, "RCODE", rcode); }

}  // namespace sandpiper
