// SPDX-License-Identifier: Apache-2.0
// How sandboxes and their parts are described: on their records, and to who asks for them.
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

// What stands on the records of a part that was selected (OpenTelemetry semantic conventions:
// container, k8s). What is not known is absent.
std::vector<Attribute> AttributesOf(const Decision& decision);
// Who made it: the container runtime, "systemd", or "cgroup" where nobody says.
std::string RuntimeOf(const Decision& decision);

// `sandboxes`: by serial. Members of no sandbox are left out. `destinations`: of each sandbox,
// those with the most attempts; without loopback.
v1::ListSandboxesResponse DescribeSandboxes(
    const std::map<uint64_t, std::unique_ptr<SandboxSession>>& sandboxes, const Members& members,
    size_t destinations);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_COLLECTOR_DESCRIBE_H_
