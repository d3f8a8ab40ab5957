// SPDX-License-Identifier: Apache-2.0
#include "userspace/ruleset/opensandbox_policy.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <rapidjson/document.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "userspace/base/fd.h"
#include "userspace/base/status.h"

namespace sandpiper {
namespace {

// The limit of the sidecar's own API.
constexpr size_t kPolicyMax = 1 << 20;
constexpr size_t kEnvironmentMax = 4 << 20;  // more than ARG_MAX

absl::StatusOr<std::string> ReadAll(int fd, size_t max) {
  std::string out;
  char buffer[16 * 1024];
  for (;;) {
    const ssize_t n = read(fd, buffer, sizeof(buffer));
    if (n < 0)
      return ErrnoStatus(errno, "reading the policy");
    if (n == 0)
      return out;
    out.append(buffer, static_cast<size_t>(n));
    if (out.size() > max)
      return absl::InvalidArgumentError(absl::StrCat("the policy is longer than ", max, " bytes"));
  }
}

std::optional<std::string_view> Find(std::string_view environment, std::string_view name) {
  while (!environment.empty()) {
    const size_t end = std::min(environment.find('\0'), environment.size());
    const std::string_view entry = environment.substr(0, end);
    if (entry.size() > name.size() && entry.starts_with(name) && entry[name.size()] == '=')
      return entry.substr(name.size() + 1);
    environment.remove_prefix(std::min(end + 1, environment.size()));
  }
  return std::nullopt;
}

// Reads a file as the process would open it. The sandbox chooses the path, so that links must not
// lead out of its root.
absl::StatusOr<std::string> ReadIn(const std::string& root, std::string_view path) {
  const UniqueFd top(open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!top.ok())
    return ErrnoStatus(errno, "opening the root of the process");
  const open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
                        .mode = 0,
                        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
  const UniqueFd file(static_cast<int>(
      syscall(SYS_openat2, top.get(), std::string(path).c_str(), &how, sizeof(how))));
  if (!file.ok())
    return ErrnoStatus(errno, "opening the policy");
  return ReadAll(file.get(), kPolicyMax);
}

}  // namespace

absl::StatusOr<Ruleset> ParseOpenSandboxPolicy(std::string_view json) {
  Ruleset out = {.present = true, .default_deny = true, .rules = {}};
  if (json.find_first_not_of(" \t\r\n") == std::string_view::npos)
    return out;
  rapidjson::Document document;
  document.Parse<rapidjson::kParseIterativeFlag>(json.data(), json.size());
  if (document.HasParseError())
    return absl::InvalidArgumentError(
        absl::StrCat("the policy is not valid JSON, at byte ", document.GetErrorOffset()));
  if (document.IsNull())
    return out;
  if (!document.IsObject())
    return absl::InvalidArgumentError("the policy is not a JSON object");
  const auto text = [](const rapidjson::Value& object,
                       const char* key) -> std::optional<std::string> {
    const auto member = object.FindMember(key);
    if (member == object.MemberEnd() || !member->value.IsString())
      return std::nullopt;
    return std::string(member->value.GetString(), member->value.GetStringLength());
  };
  const std::string action = text(document, "defaultAction").value_or("deny");
  if (action != "allow" && action != "deny")
    return absl::InvalidArgumentError("the policy's defaultAction is neither allow nor deny");
  out.default_deny = action == "deny";
  const auto rules = document.FindMember("egress");
  if (rules == document.MemberEnd() || rules->value.IsNull())
    return out;
  if (!rules->value.IsArray())
    return absl::InvalidArgumentError("the policy's egress is not a list");
  for (const rapidjson::Value& rule : rules->value.GetArray()) {
    const auto verdict = rule.IsObject() ? text(rule, "action") : std::nullopt;
    const auto target = rule.IsObject() ? text(rule, "target") : std::nullopt;
    if (!verdict || !target || (*verdict != "allow" && *verdict != "deny"))
      return absl::InvalidArgumentError(
          absl::StrCat("rule ", out.rules.size(), " of the policy has no action or no target"));
    out.rules.push_back({*verdict, *target});
  }
  return out;
}

bool IsOpenSandboxEgress(std::string_view executable) {
  return executable == "/opt/opensandbox-egress/egress" || executable == "/egress";
}

std::optional<OpenSandboxPolicy> ReadOpenSandboxPolicy(pid_t pid, const std::string& proc) {
  const std::string base = absl::StrCat(proc, "/", pid);
  const UniqueFd file(open((base + "/environ").c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.ok())
    return std::nullopt;
  const absl::StatusOr<std::string> environment = ReadAll(file.get(), kEnvironmentMax);
  if (!environment.ok())
    return std::nullopt;
  // Like the sidecar, ignore a file that cannot be read or parsed.
  if (const auto path = Find(*environment, "OPENSANDBOX_EGRESS_POLICY_FILE");
      path && !path->empty()) {
    const absl::StatusOr<std::string> text = ReadIn(base + "/root", *path);
    if (absl::StatusOr<Ruleset> rules = text.ok() ? ParseOpenSandboxPolicy(*text) : text.status();
        rules.ok())
      return OpenSandboxPolicy{.source = "file", .rules = std::move(rules)};
  }
  if (const auto rules = Find(*environment, "OPENSANDBOX_EGRESS_RULES"))
    return OpenSandboxPolicy{.source = "environment", .rules = ParseOpenSandboxPolicy(*rules)};
  return std::nullopt;
}

}  // namespace sandpiper
