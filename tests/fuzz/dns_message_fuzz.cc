// SPDX-License-Identifier: Apache-2.0
// Parses a DNS message with arbitrary bytes, and compares the result with that of ldns.
#include "tests/fuzz/dns_differential.h"
#include "tests/fuzz/fuzz.h"
#include "userspace/event/dns_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sandpiper;
  const std::string_view wire = testing::Text(data, size);
  testing::Agreement agreement;
  const std::string difference = testing::CompareWithLdns(wire, &agreement);
  testing::Require(difference.empty(), difference.c_str());
  // The flag for a cut message must not change the result for a complete one.
  if (const auto whole = ParseDns(wire, DnsCapture::kComplete); whole.ok()) {
    const auto cut = ParseDns(wire, DnsCapture::kCut);
    testing::Require(cut.ok() && cut->bytes == whole->bytes,
                     "a complete message is read the same with kCut");
    testing::Require(whole->bytes <= size, "a message is not longer than its bytes");
    for (const DnsQuestion& question : whole->questions) {
      for (const NamedAddress& named : NamedAddresses(*whole, question))
        testing::Require(!named.name.empty(), "an accepted address has a name");
    }
  }
  const auto multicast = ParseDns(wire, DnsCapture::kComplete, DnsProtocol::kMulticast);
  testing::Require(!multicast.ok() || multicast->questions.size() <= 32,
                   "the questions of mDNS are limited");
  FirstQuestion(wire);
  return 0;
}
