// SPDX-License-Identifier: Apache-2.0
// Compares the DNS parser with ldns (https://nlnetlabs.nl/projects/ldns), an independent parser.
#ifndef SANDPIPER_TESTS_FUZZ_DNS_DIFFERENTIAL_H_
#define SANDPIPER_TESTS_FUZZ_DNS_DIFFERENTIAL_H_

#include <string>
#include <string_view>

namespace sandpiper::testing {

enum class Agreement { kBothRead, kNeitherReads, kOnlyLdnsReads, kOnlyWeRead };

// Returns a description of the difference. Empty if both agree, or if they may differ: ParseDns
// rejects messages that RFC 9267 warns of, and errors after the answers do not matter to it.
std::string CompareWithLdns(std::string_view wire, Agreement* agreement);

}  // namespace sandpiper::testing

#endif  // SANDPIPER_TESTS_FUZZ_DNS_DIFFERENTIAL_H_
