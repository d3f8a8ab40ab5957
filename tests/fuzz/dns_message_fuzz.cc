// SPDX-License-Identifier: Apache-2.0
// DNS messages, against ldns.
#include "tests/fuzz/dns_differential.h"
#include "tests/fuzz/fuzz.h"
#include "userspace/event/dns_message.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sandpiper;
  const std::string_view wire = testing::Text(data, size);
  testing::Agreement agreement;
  const std::string difference = testing::CompareWithLdns(wire, &agreement);
  testing::Require(difference.empty(), difference.c_str());
  // One that was cut off tells no less.
  if (const auto whole = ParseDns(wire, DnsCapture::kComplete); whole.ok()) {
    const auto cut = ParseDns(wire, DnsCapture::kCut);
    testing::Require(cut.ok() && cut->name == whole->name,
                     "a message that is whole is read the same");
  }
  return 0;
}
