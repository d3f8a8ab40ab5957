// SPDX-License-Identifier: Apache-2.0
#include "userspace/sandbox/selection_rules.h"

#include <openssl/sha.h>
#include <re2/re2.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "userspace/base/status.h"
#include "userspace/base/text.h"

namespace sandpiper {
namespace {

constexpr size_t kIdMax = 200;
constexpr size_t kIdKept = 160;
constexpr size_t kDigestBytes = 8;

const std::string* Find(const Container::Texts& texts, const std::string& key) {
  const auto it = texts.find(key);
  return it == texts.end() || it->second.empty() ? nullptr : &it->second;
}

const std::string* Find(const Container::Texts& own, const Container::Texts& of_pod,
                        const std::string& key) {
  const std::string* value = Find(own, key);
  return value ? value : Find(of_pod, key);
}

bool MeetsConditions(const SelectionRule& rule, const Container& container) {
  if (!rule.name_space.empty() && container.pod.name_space != rule.name_space)
    return false;
  return std::all_of(rule.labels.begin(), rule.labels.end(), [&](const auto& wanted) {
    const std::string* value = Find(container.labels, container.pod.labels, wanted.first);
    return value && *value == wanted.second;
  });
}

// The text of the group `id` if the pattern has one, else `whole`; nullopt without a match.
std::optional<std::string> Match(const re2::RE2& pattern, const std::string& text,
                                 const std::string& whole) {
  std::vector<re2::StringPiece> groups(static_cast<size_t>(pattern.NumberOfCapturingGroups()) + 1);
  if (!pattern.Match(text, 0, text.size(), re2::RE2::UNANCHORED, groups.data(),
                     static_cast<int>(groups.size())))
    return std::nullopt;
  const auto& named = pattern.NamedCapturingGroups();
  const auto id = named.find("id");
  if (id == named.end())
    return whole;
  return std::string(groups[static_cast<size_t>(id->second)]);
}

std::string LastComponent(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// The position of the last slash that is a literal of the expression, not part of a [set].
size_t LastSlash(const std::string& expression) {
  size_t last = std::string::npos;
  bool in_set = false;
  for (size_t i = 0; i < expression.size(); ++i) {
    if (expression[i] == '\\')
      ++i;
    else if (expression[i] == '[' && !in_set)
      in_set = true;
    else if (expression[i] == ']' && in_set && expression[i - 1] != '[' &&
             expression.substr(i - 2, 2) != "[^")
      in_set = false;
    else if (expression[i] == '/' && !in_set)
      last = i;
  }
  return last;
}

const std::string* ValueOf(const SelectionRule& rule, const Container& container) {
  switch (rule.by) {
    case SelectionRule::By::kLabel:
      return Find(container.labels, container.pod.labels, rule.key);
    case SelectionRule::By::kAnnotation:
      return Find(container.annotations, container.pod.annotations, rule.key);
    case SelectionRule::By::kEnvironment:
      return Find(container.environment, rule.key);
    case SelectionRule::By::kCgroup:
    case SelectionRule::By::kUnit:
    case SelectionRule::By::kContainer:
      return nullptr;
  }
  return nullptr;
}

// nullopt: the rule does not match. An empty id: it may match once metadata is known.
std::optional<std::string> IdBy(const SelectionRule& rule, const std::string& cgroup,
                                const CgroupPath& path, const Container* container) {
  switch (rule.by) {
    case SelectionRule::By::kCgroup:
      return Match(*rule.pattern, cgroup, LastComponent(cgroup));
    case SelectionRule::By::kUnit:
      return path.unit.empty() ? std::nullopt : Match(*rule.pattern, path.unit, path.unit);
    case SelectionRule::By::kContainer:
      return path.container_id.empty() ? std::nullopt : std::optional(path.container_id);
    case SelectionRule::By::kLabel:
    case SelectionRule::By::kAnnotation:
    case SelectionRule::By::kEnvironment:
      break;
  }
  if (path.container_id.empty())
    return std::nullopt;
  if (!container)
    return "";
  if (const std::string* value = ValueOf(rule, *container))
    return rule.id_is_pod && !container->pod.name.empty() ? container->pod.name : *value;
  return container->complete ? std::nullopt : std::optional<std::string>("");
}

}  // namespace

const char* Name(Role role) {
  switch (role) {
    case Role::kNone:
      return "";
    case Role::kApp:
      return "app";
    case Role::kSidecar:
      return "sidecar";
    case Role::kPause:
      return "pause";
  }
  return "";
}

Role RoleNamed(std::string_view name) {
  for (const Role role : {Role::kApp, Role::kSidecar, Role::kPause}) {
    if (name == Name(role))
      return role;
  }
  return Role::kNone;
}

absl::StatusOr<SelectionRule> MakeRule(SelectionRule::By by, const std::string& key) {
  SelectionRule rule;
  rule.by = by;
  rule.key = key;
  if (by != SelectionRule::By::kCgroup && by != SelectionRule::By::kUnit)
    return rule;
  // PCRE and newer versions of RE2 write a named group as (?<name>.
  std::string expression = key;
  RE2::GlobalReplace(&expression, "\\(\\?<([A-Za-z_])", "(?P<\\1");
  if (by == SelectionRule::By::kUnit)
    expression = absl::StrCat("^(?:", expression, ")$");
  auto pattern = std::make_shared<RE2>(expression, RE2::Quiet);
  if (!pattern->ok())
    return absl::InvalidArgumentError(
        absl::StrCat("invalid regular expression \"", key, "\": ", pattern->error()));
  rule.pattern = std::move(pattern);
  return rule;
}

std::vector<SelectionRule> DefaultRules() {
  const auto rule = [](SelectionRule::By by, const char* key, Role role = Role::kApp,
                       bool id_is_pod = false) {
    SelectionRule out;
    out.by = by;
    out.key = key;
    out.role = role;
    out.id_is_pod = id_is_pod;
    return out;
  };
  using By = SelectionRule::By;
  return {
      rule(By::kLabel, "opensandbox.io/id"),
      rule(By::kLabel, "opensandbox.io/egress-sidecar-for", Role::kSidecar),
      rule(By::kLabel, "batch-sandbox.sandbox.opensandbox.io/name"),
      rule(By::kLabel, "agents.x-k8s.io/sandbox-name-hash"),
      rule(By::kAnnotation, "opensandbox.io/id"),
      rule(By::kAnnotation, "agents.x-k8s.io/sandbox-name"),
      rule(By::kEnvironment, "OPENSANDBOX_ID"),
      rule(By::kEnvironment, "OPENSANDBOX_EGRESS_SANDBOX_ID"),
      // A pod in a pool, which has no sandbox yet.
      rule(By::kLabel, "sandbox.opensandbox.io/pool-name", Role::kApp, /*id_is_pod=*/true),
  };
}

Verdict Select(const std::vector<SelectionRule>& rules, const std::string& cgroup,
               const CgroupPath& path, const Container* container, Metadata metadata) {
  if (path.monitor)
    return {.known = true, .selected = std::nullopt};
  for (const SelectionRule& rule : rules) {
    std::optional<std::string> id = IdBy(rule, cgroup, path, container);
    if (!id)
      continue;
    const bool conditional = !rule.name_space.empty() || !rule.labels.empty();
    if (conditional && container && container->complete && !MeetsConditions(rule, *container))
      continue;
    const bool unknown = id->empty() || (conditional && (!container || !container->complete));
    if (unknown && metadata == Metadata::kFinal)
      continue;
    if (unknown)
      return {.known = false, .selected = std::nullopt};
    return {.known = true, .selected = Selected{.id = CleanId(*id), .role = rule.role}};
  }
  return {.known = true, .selected = std::nullopt};
}

std::optional<std::string> NamePrefix(const SelectionRule& rule) {
  if (rule.by != SelectionRule::By::kCgroup && rule.by != SelectionRule::By::kUnit)
    return std::nullopt;
  const std::string& expression = rule.key;
  // With alternatives, or without a literal last component, any name may match.
  const size_t slash = LastSlash(expression);
  if (expression.find('|') != std::string::npos ||
      (rule.by == SelectionRule::By::kCgroup && slash == std::string::npos))
    return "";
  const size_t from = rule.by == SelectionRule::By::kUnit ? 0 : slash + 1;
  if (std::count(expression.begin(), expression.begin() + static_cast<ptrdiff_t>(from), '(') !=
      std::count(expression.begin(), expression.begin() + static_cast<ptrdiff_t>(from), ')'))
    return "";
  std::string prefix;
  for (size_t i = from; i < expression.size(); ++i) {
    char c = expression[i];
    if (c == '\\' && i + 1 < expression.size() &&
        ispunct(static_cast<unsigned char>(expression[i + 1])))
      c = expression[++i];
    else if (!isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '_' && c != '@' &&
             c != ':')
      break;
    // A quantifier makes this character optional.
    if (i + 1 < expression.size() &&
        (expression[i + 1] == '?' || expression[i + 1] == '*' || expression[i + 1] == '{'))
      break;
    prefix.push_back(c);
  }
  // systemd escapes special characters, so that the cgroup's name differs from the unit's name.
  return rule.by == SelectionRule::By::kUnit ? prefix.substr(0, prefix.find('\\')) : prefix;
}

std::string CleanId(const std::string& raw) {
  if (raw.size() <= kIdMax)
    return Escape(raw);
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(raw.data()), raw.size(), digest);
  return absl::StrCat(
      Escape(raw.substr(0, kIdKept)), "~",
      absl::BytesToHexString({reinterpret_cast<const char*>(digest), kDigestBytes}));
}

}  // namespace sandpiper
