// SPDX-License-Identifier: Apache-2.0
#include "userspace/sandbox/cgroup_arguments.h"

#include <glob.h>
#include <re2/re2.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "userspace/base/status.h"
#include "userspace/base/text.h"

namespace sandpiper {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> Expand(const std::string& pattern) {
  glob_t found = {};
  std::vector<std::string> out;
  if (glob(pattern.c_str(), GLOB_ONLYDIR, nullptr, &found) == 0) {
    for (size_t i = 0; i < found.gl_pathc; ++i) {
      // GLOB_ONLYDIR is a hint only: a cgroup is a directory.
      if (fs::is_directory(found.gl_pathv[i]))
        out.push_back(fs::path(found.gl_pathv[i]).lexically_normal().string());
    }
  }
  globfree(&found);
  for (std::string& path : out) {
    while (path.size() > 1 && path.back() == '/')
      path.pop_back();
  }
  return out;
}

}  // namespace

absl::StatusOr<std::vector<Sandbox>> SelectCgroups(const std::vector<std::string>& arguments,
                                                   const std::string& mount) {
  constexpr char kSidecar[] = ":sidecar";
  std::map<std::string, std::string> id_by_path;
  std::vector<std::pair<std::string, std::string>> sidecars;  // path, id
  for (const std::string& argument : arguments) {
    const size_t equals = argument.rfind('=');
    const std::string path = argument.substr(0, equals);
    std::string id = equals == std::string::npos ? "" : argument.substr(equals + 1);
    const bool sidecar = id.ends_with(kSidecar);
    if (sidecar)
      id.resize(id.size() - strlen(kSidecar));
    if (path.empty() || (equals != std::string::npos && id.empty()))
      return absl::InvalidArgumentError(
          absl::StrCat("--cgroup ", argument, ": expected PATH, PATH=ID or PATH=ID:sidecar"));
    const bool below_mount = path == mount || path.rfind(mount + "/", 0) == 0;
    const std::vector<std::string> matches =
        Expand(below_mount ? path : absl::StrCat(mount, "/", path));
    if (matches.empty())
      return absl::NotFoundError(
          absl::StrCat("--cgroup ", argument, ": no such cgroup under ", mount));
    if (matches.size() > 1 && !id.empty())
      return absl::InvalidArgumentError(absl::StrCat("--cgroup ", argument, ": one id for ",
                                                     matches.size(), " cgroups; remove =", id));
    if (sidecar) {
      sidecars.emplace_back(matches[0], Escape(id));
      continue;
    }
    for (const std::string& match : matches)
      id_by_path[match] = id.empty() ? Escape(fs::path(match).filename().string()) : Escape(id);
  }
  std::vector<Sandbox> out;
  std::map<std::string, std::string> path_by_id;
  for (const auto& [path, id] : id_by_path) {
    const auto [other, added] = path_by_id.emplace(id, path);
    if (!added)
      return absl::InvalidArgumentError(absl::StrCat("two cgroups would have the id ", id, ": ",
                                                     other->second, " and ", path,
                                                     "; give one of them another id with PATH=ID"));
    out.push_back({.id = id, .cgroup = path, .sidecars = {}});
  }
  for (const auto& [path, id] : sidecars) {
    const auto sandbox =
        std::find_if(out.begin(), out.end(), [&id = id](const Sandbox& s) { return s.id == id; });
    if (sandbox == out.end())
      return absl::InvalidArgumentError(
          absl::StrCat("--cgroup ", path, "=", id, ":sidecar: no other --cgroup has the id ", id));
    sandbox->sidecars.push_back(path);
  }
  return out;
}

std::optional<SelectionRule> PatternRule(const std::string& argument, const std::string& mount) {
  if (argument.find('=') != std::string::npos || argument.find_first_of("*?") == std::string::npos)
    return std::nullopt;
  std::string path = argument.starts_with(mount + "/") ? argument.substr(mount.size()) : argument;
  if (!path.starts_with('/'))
    path = "/" + path;
  std::string expression = "^";
  for (const char c : path) {
    if (c == '*')
      expression += "[^/]*";
    else if (c == '?')
      expression += "[^/]";
    else
      expression += RE2::QuoteMeta(std::string(1, c));
  }
  auto rule = MakeRule(SelectionRule::By::kCgroup, expression + "$");
  return rule.ok() ? std::optional(*std::move(rule)) : std::nullopt;
}

absl::StatusOr<std::vector<Device>> ParseDevices(const std::vector<std::string>& arguments) {
  std::vector<Device> out;
  for (const std::string& argument : arguments) {
    const size_t equals = argument.rfind('=');
    const size_t colon = argument.rfind(':', equals);
    const std::string place = argument.substr(0, equals);
    Device device = {.netns = colon == std::string::npos ? "" : place.substr(0, colon),
                     .name = colon == std::string::npos ? place : place.substr(colon + 1),
                     .id = equals == std::string::npos ? "" : CleanId(argument.substr(equals + 1))};
    if (equals != std::string::npos && device.id.empty())
      return absl::InvalidArgumentError(
          absl::StrCat("--device ", argument, ": expected NAME=ID or NETNS:NAME=ID"));
    // IFNAMSIZ of <net/if.h> is 16 and includes the NUL.
    if (device.name.empty() || device.name.size() >= 16)
      return absl::InvalidArgumentError(
          absl::StrCat("--device ", argument, ": a device's name has 1 to 15 characters"));
    out.push_back(std::move(device));
  }
  return out;
}

}  // namespace sandpiper
