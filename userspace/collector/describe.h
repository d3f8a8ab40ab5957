// SPDX-License-Identifier: Apache-2.0
// Descriptions of sandboxes and their members: as attributes of records, and for the local API.
#ifndef SANDPIPER_USERSPACE_COLLECTOR_DESCRIBE_H_
#define SANDPIPER_USERSPACE_COLLECTOR_DESCRIBE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sandpiper.pb.h"
#include "userspace/aggregate/log_record.h"
#include "userspace/attribution/member_table.h"
#include "userspace/sandbox/member_resolver.h"
#include "userspace/session/sandbox_session.h"

namespace sandpiper {

// The attributes of all records of a selected member (OpenTelemetry semantic conventions for
// containers and k8s). Unknown ones are left out.
std::vector<RecordAttribute> AttributesOf(const Decision& decision);
// The name of the container runtime, "systemd" for a unit, or "cgroup" for any other cgroup.
std::string RuntimeOf(const Decision& decision);

// `sandboxes`: by serial. Members without a sandbox are left out. `destinations`: how many of each
// sandbox, those with the most attempts; loopback is left out.
v1::ListSandboxesResponse DescribeSandboxes(
    const std::map<uint64_t, std::unique_ptr<SandboxSession>>& sandboxes,
    const MemberTable& members, size_t destinations);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_COLLECTOR_DESCRIBE_H_
