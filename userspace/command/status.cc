// SPDX-License-Identifier: Apache-2.0
// sandpiper status: lists the sandboxes that the running collector watches.
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "userspace/api/api_client.h"
#include "userspace/base/clock.h"
#include "userspace/command/commands.h"
#include "userspace/command/errors.h"
#include "userspace/command/text_table.h"

namespace sandpiper {
namespace {

std::string Roles(const v1::Sandbox& sandbox) {
  std::vector<std::string> roles;
  for (const v1::Member& member : sandbox.members()) {
    const std::string role = !member.device().empty() ? "device" : member.role();
    if (!role.empty() && std::find(roles.begin(), roles.end(), role) == roles.end())
      roles.push_back(role);
  }
  return roles.empty() ? "-" : absl::StrJoin(roles, ",");
}

void PrintSandboxes(const v1::ListSandboxesResponse& list) {
  TextTable table({"SANDBOX", "RUNTIME", "ROLES", "AGE", "LOOKUPS", "ATTEMPTS", "DENIED", "EXECS",
                   "HOSTS", "DROPPED"},
                  3);
  const uint64_t now = ReadClock(CLOCK_REALTIME);
  for (const v1::Sandbox& s : list.sandboxes()) {
    table.Add({s.id(), s.runtime(), Roles(s), AgeText(s.started_unix_ns(), now),
               absl::StrCat(s.lookups()), absl::StrCat(s.attempts()), absl::StrCat(s.denied()),
               absl::StrCat(s.execs()), absl::StrCat(s.destinations()), absl::StrCat(s.dropped())});
  }
  const std::vector<std::string> lines = table.Lines();
  printf("%s\n", lines[0].c_str());
  // The lines below a sandbox list its cgroups and devices.
  for (int i = 0; i < list.sandboxes_size(); ++i) {
    printf("%s\n", lines[static_cast<size_t>(i) + 1].c_str());
    for (const v1::Member& member : list.sandboxes(i).members()) {
      const std::string place =
          !member.device().empty() ? "device " + member.device() : member.cgroup();
      if (!place.empty())
        printf("  %s\n", place.c_str());
    }
  }
}

void PrintTable(const v1::ListSandboxesResponse& list) {
  if (list.sandboxes().empty())
    printf("no sandbox is watched\n");
  else
    PrintSandboxes(list);
  if (list.waiting() > 0)
    printf("%llu cgroups wait until their container runtime describes them\n",
           static_cast<unsigned long long>(list.waiting()));
}

}  // namespace

int RunStatus(const Config& config, ReportFormat format) {
  const auto list = ApiClient(config.api_socket).ListSandboxes();
  if (!list.ok())
    return Fail(list.status(), kExitFailure);
  if (format == ReportFormat::kTable) {
    PrintTable(*list);
    return 0;
  }
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(*list, &json, options).ok())
    return Fail(absl::InternalError("the response cannot be written as JSON"), kExitFailure);
  printf("%s\n", json.c_str());
  return 0;
}

}  // namespace sandpiper
