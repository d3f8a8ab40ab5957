// SPDX-License-Identifier: Apache-2.0
// Finds the rules of iptables-legacy (x_tables) in a network namespace. They are not nftables, and
// sandpiper cannot say what they match. But it can say that there are some.
#ifndef SANDPIPER_USERSPACE_RULESET_XTABLES_H_
#define SANDPIPER_USERSPACE_RULESET_XTABLES_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "userspace/ruleset/ruleset.h"

namespace sandpiper {

// True if the kernel has x_tables. Reading a table that is not there would load the module, so
// nothing is read before.
bool HasXtables();

// The tables with rules, or with a policy other than accept, in the namespace of the calling
// thread. Changes nothing: a table that was not used yet is not touched.
absl::StatusOr<std::vector<XtablesTable>> ReadXtables();

// The content of a table as getsockopt(2) returns it. `info` is struct ipt_getinfo, which IPv6
// shares; `entries` are struct ipt_entry or struct ip6t_entry.
enum class XtablesFamily { kIpv4, kIpv6 };
absl::StatusOr<XtablesTable> ParseXtables(XtablesFamily family, std::string_view info,
                                          std::string_view entries);

// True if the table can change what happens to a packet.
bool IsInForce(const XtablesTable& table);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RULESET_XTABLES_H_
