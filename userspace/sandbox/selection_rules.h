// SPDX-License-Identifier: Apache-2.0
// Selects the sandbox of a cgroup: the first rule that matches decides, and gives the id. No I/O.
#ifndef SANDPIPER_USERSPACE_SANDBOX_SELECTION_RULES_H_
#define SANDPIPER_USERSPACE_SANDBOX_SELECTION_RULES_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "userspace/runtime/container.h"
#include "userspace/sandbox/cgroup_path.h"

namespace re2 {
class RE2;
}

namespace sandpiper {

// The part that a cgroup plays in its sandbox: the attribute sandbox.role.
enum class Role { kNone, kApp, kSidecar, kPause };
// Empty for kNone.
const char* Name(Role role);
// The reverse of Name; kNone for any other text.
Role RoleNamed(std::string_view name);

struct SelectionRule {
  enum class By {
    // A label of the container or its pod; its value is the id.
    kLabel,
    // An annotation of the container or its pod; its value is the id.
    kAnnotation,
    // An environment variable of the container's first process; its value is the id.
    kEnvironment,
    // A regular expression (RE2) on the path from the root of the hierarchy. The id is its group
    // `id`, or the last component of the path.
    kCgroup,
    // A regular expression on the whole name of a systemd unit. The id is its group `id`, or the
    // name.
    kUnit,
    // Every container; the id is the container's id.
    kContainer,
  };
  By by = By::kLabel;
  std::string key;  // name of the label, annotation or variable; or the regular expression
  Role role = Role::kApp;
  // Conditions: the Kubernetes namespace of the pod, and labels with their values.
  std::string name_space;
  std::map<std::string, std::string> labels;

  // The id is the name of the pod instead of the value: for pods of a pool that have no sandbox
  // yet.
  bool id_is_pod = false;

  std::shared_ptr<const re2::RE2> pattern;  // compiled `key` of kCgroup and kUnit
};

// InvalidArgument for an invalid regular expression.
absl::StatusOr<SelectionRule> MakeRule(SelectionRule::By by, const std::string& key);

// The rules without any configuration: OpenSandbox and agent-sandbox.
std::vector<SelectionRule> DefaultRules();

struct Selected {
  std::string id;  // escaped, and of bounded length
  Role role = Role::kApp;
};

// Whether a runtime may still report metadata of the container.
enum class Metadata { kMayFollow, kFinal };

struct Verdict {
  bool known = false;  // false: the decision depends on metadata that may follow
  std::optional<Selected> selected;
};

// `container` is null if nothing is known about it.
Verdict Select(const std::vector<SelectionRule>& rules, const std::string& cgroup,
               const CgroupPath& path, const Container* container, Metadata metadata);

// The prefix that the name of a cgroup needs for the rule to match its path: "" if any name may
// match, nullopt if the rule matches no path. BPF programs use it to find new cgroups.
std::optional<std::string> NamePrefix(const SelectionRule& rule);

// The id as it appears in records: escaped. An id of more than 200 bytes is cut, and a digest of
// the whole keeps it distinct.
std::string CleanId(const std::string& raw);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_SANDBOX_SELECTION_RULES_H_
