// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/dns_differential.h"

#include <ldns/ldns.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <memory>
#include <vector>

#include "userspace/event/dns_message.h"

namespace sandpiper::testing {
namespace {

// Converts labels without compression to the form of DnsMessage::name.
std::string NameOf(const ldns_rdf* name) {
  const uint8_t* wire = ldns_rdf_data(name);
  std::string out;
  for (size_t at = 0; wire[at] != 0; at += wire[at] + 1u) {
    if (!out.empty())
      out += '.';
    for (size_t i = 1; i <= wire[at]; ++i) {
      const uint8_t c = wire[at + i];
      char text[5] = {static_cast<char>(std::tolower(c)), 0, 0, 0, 0};
      if (c == '.' || c == '\\')
        snprintf(text, sizeof(text), "\\%c", c);
      else if (c <= 0x20 || c >= 0x7f)
        snprintf(text, sizeof(text), "\\%03d", c);
      out += text;
    }
  }
  return out.empty() ? "." : out;
}

std::string AddressOf(const ldns_rdf* data) {
  Address address;
  if (ldns_rdf_size(data) == 4) {
    uint8_t octets[4];
    std::copy_n(ldns_rdf_data(data), 4, octets);
    address = Address::FromIpv4(octets);
  } else {
    std::copy_n(ldns_rdf_data(data), 16, address.bytes.begin());
  }
  return address.ToString();
}

struct Reading {
  std::string name;
  unsigned id;
  unsigned type;
  unsigned rcode;
  bool response;
  bool truncated;
  std::vector<std::string> addresses;
  std::vector<std::string> aliases;

  bool operator==(const Reading&) const = default;
  std::string ToString() const {
    std::string out = name + " id " + std::to_string(id) + " type " + std::to_string(type) +
                      " rcode " + std::to_string(rcode) + (response ? " answer" : " question") +
                      (truncated ? " cut" : "");
    for (const auto* list : {&addresses, &aliases}) {
      for (const std::string& one : *list)
        out += " | " + one;
    }
    return out;
  }
};

Reading Ours(const DnsMessage& message) {
  Reading out = {.name = std::string(message.questions[0].name),
                 .id = message.id,
                 .type = message.questions[0].type,
                 .rcode = message.rcode,
                 .response = message.is_response,
                 .truncated = message.truncated,
                 .addresses = {},
                 .aliases = {}};
  for (const DnsAlias& alias : message.aliases)
    out.aliases.push_back(std::string(alias.owner) + " = " + std::string(alias.target));
  for (const DnsAddress& address : message.addresses)
    out.addresses.push_back(std::string(address.owner) + " " + std::to_string(address.ttl_seconds) +
                            " " + address.address.ToString());
  return out;
}

Reading Theirs(const ldns_pkt* packet) {
  const ldns_rr* question = ldns_rr_list_rr(ldns_pkt_question(packet), 0);
  Reading out = {.name = NameOf(ldns_rr_owner(question)),
                 .id = ldns_pkt_id(packet),
                 .type = ldns_rr_get_type(question),
                 .rcode = ldns_pkt_get_rcode(packet) |
                          static_cast<unsigned>(ldns_pkt_edns_extended_rcode(packet)) << 4,
                 .response = static_cast<bool>(ldns_pkt_qr(packet)),
                 .truncated = static_cast<bool>(ldns_pkt_tc(packet)),
                 .addresses = {},
                 .aliases = {}};
  const ldns_rr_list* answers = ldns_pkt_answer(packet);
  for (size_t i = 0; i < ldns_rr_list_rr_count(answers); ++i) {
    const ldns_rr* record = ldns_rr_list_rr(answers, i);
    if (ldns_rr_get_class(record) != LDNS_RR_CLASS_IN || ldns_rr_rd_count(record) == 0)
      continue;
    const ldns_rdf* data = ldns_rr_rdf(record, 0);
    if (ldns_rr_get_type(record) == LDNS_RR_TYPE_CNAME)
      out.aliases.push_back(NameOf(ldns_rr_owner(record)) + " = " + NameOf(data));
    else if (ldns_rr_get_type(record) == LDNS_RR_TYPE_A ||
             ldns_rr_get_type(record) == LDNS_RR_TYPE_AAAA)
      out.addresses.push_back(NameOf(ldns_rr_owner(record)) + " " +
                              std::to_string(ldns_rr_ttl(record)) + " " + AddressOf(data));
  }
  return out;
}

// True if the data of each record has the length that the record states. ldns does not check it: it
// continues after the data that it understood, so it misreads all that follows a wrong length.
bool HasRightLengths(std::string_view text) {
  const auto* wire = reinterpret_cast<const uint8_t*>(text.data());
  size_t at = LDNS_HEADER_SIZE;
  const unsigned questions = LDNS_QDCOUNT(wire);
  const unsigned records = LDNS_ANCOUNT(wire) + LDNS_NSCOUNT(wire) + LDNS_ARCOUNT(wire);
  for (unsigned i = 0; i < questions + records; ++i) {
    const bool question = i < questions;
    size_t end = at;
    if (!question) {
      ldns_rdf* owner = nullptr;
      if (ldns_wire2dname(&owner, wire, text.size(), &end) != LDNS_STATUS_OK)
        return false;
      ldns_rdf_deep_free(owner);
      if (end + 10 > text.size())
        return false;
      end += 10u + ldns_read_uint16(wire + end + 8);
    }
    ldns_rr* record = nullptr;
    if (ldns_wire2rr(&record, wire, text.size(), &at,
                     question ? LDNS_SECTION_QUESTION : LDNS_SECTION_ANSWER) != LDNS_STATUS_OK)
      return false;
    ldns_rr_free(record);
    if (!question && at != end)
      return false;
  }
  return true;
}

}  // namespace

std::string CompareWithLdns(std::string_view wire, Agreement* agreement) {
  const auto ours = ParseDns(wire, DnsCapture::kComplete);
  ldns_pkt* parsed = nullptr;
  const bool read = ldns_wire2pkt(&parsed, reinterpret_cast<const uint8_t*>(wire.data()),
                                  wire.size()) == LDNS_STATUS_OK;
  const std::unique_ptr<ldns_pkt, decltype(&ldns_pkt_free)> theirs(read ? parsed : nullptr,
                                                                   ldns_pkt_free);
  const bool has_question = theirs && ldns_pkt_qdcount(theirs.get()) > 0;
  if (ours.ok())
    *agreement = theirs ? Agreement::kBothRead : Agreement::kOnlyWeRead;
  else
    *agreement = theirs ? Agreement::kOnlyLdnsReads : Agreement::kNeitherReads;
  if (theirs && !HasRightLengths(wire))
    return "";
  // Of an UPDATE, ParseDns reads other sections.
  if (*agreement == Agreement::kBothRead && (!has_question || ours->opcode == kDnsOpcodeUpdate))
    return "";
  if (*agreement == Agreement::kBothRead) {
    const Reading a = Ours(*ours);
    Reading b = Theirs(theirs.get());
    if (!ours->is_complete)
      b.rcode = ldns_pkt_get_rcode(theirs.get());  // the EDNS record was not reached
    return a == b ? "" : "ParseDns: " + a.ToString() + "; ldns: " + b.ToString();
  }
  // ParseDns is stricter: ldns follows pointers that point forwards, and accepts empty records.
  const std::string why(ours.status().message());
  const bool stricter = why.find("compression pointer") != std::string::npos ||
                        why.find("record that is not") != std::string::npos ||
                        why.find("does not fill its record") != std::string::npos;
  return *agreement == Agreement::kOnlyLdnsReads && !stricter
             ? "ParseDns rejects a message that ldns reads: " + why
             : "";
}

}  // namespace sandpiper::testing
