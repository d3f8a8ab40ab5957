// SPDX-License-Identifier: Apache-2.0
// Our reading of a DNS message against that of ldns (https://nlnetlabs.nl/projects/ldns), which
// shares no line with it.
#ifndef SANDPIPER_TESTS_FUZZ_DNS_DIFFERENTIAL_H_
#define SANDPIPER_TESTS_FUZZ_DNS_DIFFERENTIAL_H_

#include <string>
#include <string_view>

namespace sandpiper::testing {

enum class Agreement { kBothRead, kNeitherReads, kOnlyLdnsReads, kOnlyWeRead };

// Empty where they agree, or may differ: we refuse what RFC 9267 warns of, and read no further than
// the answers.
std::string CompareWithLdns(std::string_view wire, Agreement* agreement);

}  // namespace sandpiper::testing

#endif  // SANDPIPER_TESTS_FUZZ_DNS_DIFFERENTIAL_H_
