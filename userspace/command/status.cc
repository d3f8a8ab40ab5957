// sandpiper status: what the running collector watches.
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "userspace/api/api_server.h"
#include "userspace/base/clock.h"
#include "userspace/command/commands.h"
#include "userspace/command/errors.h"

namespace sandpiper {
namespace {

std::string Age(uint64_t started_unix_ns) {
  const uint64_t now = ReadClock(CLOCK_REALTIME), s = (now - std::min(now, started_unix_ns)) / kSecond;
  if (s < 120)
    return absl::StrCat(s, "s");
  if (s < 2 * 3600)
    return absl::StrCat(s / 60, "m");
  return s < 48 * 3600 ? absl::StrCat(s / 3600, "h") : absl::StrCat(s / 86'400, "d");
}

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
  const std::vector<std::string> head = {"SANDBOX",  "RUNTIME", "ROLES", "AGE",   "LOOKUPS",
                                         "ATTEMPTS", "DENIED",  "EXECS", "HOSTS", "DROPPED"};
  std::vector<std::vector<std::string>> rows = {head};
  for (const v1::Sandbox& s : list.sandboxes()) {
    rows.push_back({s.id(), s.runtime(), Roles(s), Age(s.started_unix_ns()), absl::StrCat(s.lookups()), absl::StrCat(s.attempts()),
                    absl::StrCat(s.denied()), absl::StrCat(s.execs()), absl::StrCat(s.destinations()), absl::StrCat(s.dropped())});
  }
  std::vector<size_t> widths(head.size());
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max(widths[i], row[i].size());
  }
  // Texts to the left, numbers to the right; below each sandbox, where it lives.
  constexpr size_t kTexts = 3;
  for (size_t n = 0; n < rows.size(); ++n) {
    std::string line;
    for (size_t i = 0; i < rows[n].size(); ++i) {
      const std::string pad(widths[i] - rows[n][i].size(), ' ');
      absl::StrAppend(&line, i > 0 ? "  " : "", i < kTexts ? rows[n][i] + pad : pad + rows[n][i]);
    }
    printf("%s\n", line.c_str());
    if (n == 0)
      continue;
    for (const v1::Member& member : list.sandboxes(static_cast<int>(n) - 1).members()) {
      const std::string place = !member.device().empty() ? "device " + member.device() : member.cgroup();
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
    printf("%llu more wait for what their runtime says of them\n", static_cast<unsigned long long>(list.waiting()));
}

}  // namespace

int RunStatus(const Config& config, ReportFormat format) {
  const auto list = ListSandboxes(config.api_socket);
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
    return Fail(absl::InternalError("the answer cannot be written as JSON"), kExitFailure);
  printf("%s\n", json.c_str());
  return 0;
}

}  // namespace sandpiper
