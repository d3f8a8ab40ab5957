// SPDX-License-Identifier: Apache-2.0
#include "userspace/ruleset/opensandbox_policy.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <rapidjson/document.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
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
      return absl::ResourceExhaustedError(absl::StrCat("it is longer than ", max, " bytes"));
  }
}

constexpr std::string_view kPrefix = "OPENSANDBOX_EGRESS_";

// The variables of the sidecar, without their prefix. As in Go, the first of two equal names
// counts.
class Settings {
 public:
  explicit Settings(std::string_view environment) {
    while (!environment.empty()) {
      const size_t end = std::min(environment.find('\0'), environment.size());
      std::string_view entry = environment.substr(0, end);
      environment.remove_prefix(std::min(end + 1, environment.size()));
      if (!entry.starts_with(kPrefix))
        continue;
      entry.remove_prefix(kPrefix.size());
      if (const size_t equals = entry.find('='); equals != std::string_view::npos)
        values_.emplace(entry.substr(0, equals), entry.substr(equals + 1));
    }
  }

  bool empty() const { return values_.empty(); }
  // Without spaces at its ends. Empty if it is not set.
  std::string Get(std::string_view name) const {
    const auto found = values_.find(name);
    return found == values_.end() ? std::string()
                                  : std::string(absl::StripAsciiWhitespace(found->second));
  }

 private:
  std::map<std::string_view, std::string, std::less<>> values_;
};

// Reads a file as the process would open it. The sandbox chooses the path, so that links must not
// lead out of its root.
absl::StatusOr<std::string> ReadIn(const std::string& root, const std::string& path) {
  const UniqueFd top(open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!top.ok())
    return ErrnoStatus(errno, "opening the root of the process");
  const open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
                        .mode = 0,
                        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
  const UniqueFd file(
      static_cast<int>(syscall(SYS_openat2, top.get(), path.c_str(), &how, sizeof(how))));
  if (!file.ok() && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
    return absl::NotFoundError("the policy file does not exist");
  if (!file.ok())
    return ErrnoStatus(errno, "opening the policy");
  return ReadAll(file.get(), kPolicyMax);
}

// A relative path begins at the working directory of the process.
std::string AbsolutePath(const std::string& base, const std::string& path) {
  std::error_code error;
  const std::filesystem::path directory = std::filesystem::read_symlink(base + "/cwd", error);
  return error ? path : (directory / path).string();
}

// Go matches the keys of JSON without regard to case, and the last of two equal ones counts.
const rapidjson::Value* Find(const rapidjson::Value& object, std::string_view key) {
  const rapidjson::Value* out = nullptr;
  for (const auto& member : object.GetObject()) {
    if (absl::EqualsIgnoreCase({member.name.GetString(), member.name.GetStringLength()},
                               {key.data(), key.size()}))
      out = &member.value;
  }
  return out;
}

// The text of a member, without spaces at its ends. Empty if it is absent or null, nullopt if it is
// no text.
std::optional<std::string> TextOf(const rapidjson::Value& object, std::string_view key) {
  const rapidjson::Value* const value = Find(object, key);
  if (!value || value->IsNull())
    return "";
  if (!value->IsString())
    return std::nullopt;
  return std::string(absl::StripAsciiWhitespace({value->GetString(), value->GetStringLength()}));
}

absl::StatusOr<Rule> ParseRule(const rapidjson::Value& rule, size_t index) {
  const auto action = rule.IsObject() ? TextOf(rule, "action") : std::nullopt;
  const auto target = rule.IsObject() ? TextOf(rule, "target") : std::nullopt;
  if (!action || !target || target->empty())
    return absl::InvalidArgumentError(
        absl::StrCat("rule ", index, " of the policy has no action or no target"));
  const std::string verdict = absl::AsciiStrToLower(*action);
  if (!verdict.empty() && verdict != "allow" && verdict != "deny")
    return absl::InvalidArgumentError(
        absl::StrCat("the action of rule ", index, " of the policy is neither allow nor deny"));
  return Rule{verdict == "allow" ? "allow" : "deny", *target};
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
  const std::optional<std::string> action = TextOf(document, "defaultAction");
  if (!action)
    return absl::InvalidArgumentError("the policy's defaultAction is no text");
  out.default_deny = !absl::EqualsIgnoreCase(*action, "allow");
  const rapidjson::Value* const rules = Find(document, "egress");
  if (!rules || rules->IsNull())
    return out;
  if (!rules->IsArray())
    return absl::InvalidArgumentError("the policy's egress is not a list");
  for (const rapidjson::Value& rule : rules->GetArray()) {
    ASSIGN_OR_RETURN(Rule parsed, ParseRule(rule, out.rules.size()));
    out.rules.push_back(std::move(parsed));
  }
  return out;
}

bool IsOpenSandboxEgress(std::string_view executable) {
  return executable.substr(executable.rfind('/') + 1) == "egress";
}

absl::StatusOr<Ruleset> ReadOpenSandboxPolicyFile(pid_t pid, const std::string& file,
                                                  const std::string& proc) {
  ASSIGN_OR_RETURN(const std::string text, ReadIn(absl::StrCat(proc, "/", pid, "/root"), file));
  return ParseOpenSandboxPolicy(text);
}

std::optional<OpenSandboxPolicy> ReadOpenSandboxPolicy(pid_t pid, const std::string& proc) {
  const std::string base = absl::StrCat(proc, "/", pid);
  const UniqueFd file(open((base + "/environ").c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.ok() && errno == ENOENT)
    return std::nullopt;
  const absl::StatusOr<std::string> environment =
      file.ok() ? ReadAll(file.get(), kEnvironmentMax) : ErrnoStatus(errno, "opening environ");
  if (!environment.ok())
    return OpenSandboxPolicy{
        .source = "environment", .rules = environment.status(), .file = "", .extra_attributes = ""};
  // The environment of a process that has ended is empty. No sidecar starts with an empty one.
  if (environment->empty())
    return std::nullopt;
  const Settings settings(*environment);
  OpenSandboxPolicy out = {.source = "default",
                           .rules = ParseOpenSandboxPolicy(""),
                           .has_settings = !settings.empty(),
                           .file = "",
                           .extra_attributes = settings.Get("METRICS_EXTRA_ATTRS")};
  if (const std::string path = settings.Get("POLICY_FILE"); !path.empty()) {
    out.file = AbsolutePath(base, path);
    absl::StatusOr<Ruleset> rules = ReadOpenSandboxPolicyFile(pid, out.file, proc);
    // Like the sidecar, ignore a file that does not exist or cannot be parsed.
    if (!absl::IsNotFound(rules.status()) && !absl::IsInvalidArgument(rules.status())) {
      out.source = "file";
      out.rules = std::move(rules);
      return out;
    }
  }
  if (const std::string rules = settings.Get("RULES"); !rules.empty()) {
    out.source = "environment";
    out.rules = ParseOpenSandboxPolicy(rules);
  }
  return out;
}

}  // namespace sandpiper
