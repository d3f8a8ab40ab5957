// SPDX-License-Identifier: Apache-2.0
// Which cgroup is a sandbox's, and what that sandbox is called: the first rule that matches. Pure.
#ifndef SANDPIPER_USERSPACE_SANDBOX_SELECTION_RULES_H_
#define SANDPIPER_USERSPACE_SANDBOX_SELECTION_RULES_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "userspace/runtime/container.h"
#include "userspace/sandbox/cgroup_path.h"

namespace re2 {
class RE2;
}

namespace sandpiper {

// What a part of a sandbox is to it: the attribute sandbox.role.
enum class Role { kNone, kApp, kSidecar, kPause };
// Empty for kNone.
const char* Name(Role role);

struct SelectionRule {
  enum class By {
    kLabel,        // of the container or its pod; the value is the id
    kAnnotation,   // likewise
    kEnvironment,  // of the container's first process; likewise
    kCgroup,       // regular expression (RE2) on the path from the root of the hierarchy; the group
                   // `id`, else the last component
    kUnit,         // on the whole name of a systemd unit; the group `id`, else the name
    kContainer,    // every container; the id is the container's
  };
  By by = By::kLabel;
  std::string key;  // or the regular expression
  Role role = Role::kApp;
  // Pods of this namespace only; labels that must be there with these values.
  std::string name_space;
  std::map<std::string, std::string> labels;

  // Where a pod is matched whose sandbox is not known yet: the pod's own name is the id, instead of
  // the value.
  bool id_is_pod = false;

  std::shared_ptr<const re2::RE2> pattern;  // of kCgroup and kUnit
};

// InvalidArgument for a regular expression that RE2 does not understand.
absl::StatusOr<SelectionRule> MakeRule(SelectionRule::By by, const std::string& key);

// Those that hold where nothing else is configured: OpenSandbox and agent-sandbox.
std::vector<SelectionRule> DefaultRules();

struct Selected {
  std::string id;  // escaped, and of bounded length
  Role role = Role::kApp;
};

struct Verdict {
  bool known = false;  // false: what a runtime says of the container may decide otherwise
  std::optional<Selected> selected;
};

// `container`: null where nothing is known of it. `final`: nothing more will be.
Verdict Select(const std::vector<SelectionRule>& rules, const std::string& cgroup,
               const CgroupPath& path, const Container* container, bool final);

// What the name of a cgroup must begin with for the rule to match it by its path; nothing if no
// path can, "" if any may.
std::optional<std::string> NamePrefix(const SelectionRule& rule);

// An id as records have it: escaped; one of more than 200 bytes keeps its beginning and a digest of
// the whole, so that ids stay distinct.
std::string CleanId(const std::string& raw);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_SANDBOX_SELECTION_RULES_H_
