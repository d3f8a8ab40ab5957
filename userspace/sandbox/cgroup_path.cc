// SPDX-License-Identifier: Apache-2.0
#include "userspace/sandbox/cgroup_path.h"

#include <re2/re2.h>

#include <algorithm>
#include <vector>

#include "absl/strings/str_split.h"

namespace sandpiper {
namespace {

// The digits of an id. Runtimes put prefixes and suffixes of their own around it.
std::string ContainerId(const std::string& component) {
  static const RE2 kId("([0-9a-f]{64,})");
  std::string id;
  RE2::PartialMatch(component, kId, &id);
  return id;
}

// The cgroupfs driver writes the uid with dashes. The systemd driver writes underscores, because a
// dash separates levels in the name of a slice. Static pods have a hash instead of a uid.
std::string PodUid(const std::string& component) {
  static const RE2 kUid(
      "(?:^|-)pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12}|[0-9a-f]"
      "{32})(?:\\.slice)?(?:$|:)");
  std::string uid;
  RE2::PartialMatch(component, kUid, &uid);
  std::replace(uid.begin(), uid.end(), '_', '-');
  return uid;
}

// Replaces \xHH by its character (systemd.unit(5)), as in "\x2d".
std::string UnescapeUnit(std::string_view name) {
  std::string out;
  for (size_t i = 0; i < name.size(); ++i) {
    const auto hex = [&](size_t at) {
      const char c = name[at];
      if (c >= '0' && c <= '9')
        return c - '0';
      if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
      return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    };
    if (name[i] == '\\' && i + 3 < name.size() && name[i + 1] == 'x' && hex(i + 2) >= 0 &&
        hex(i + 3) >= 0) {
      out.push_back(static_cast<char>(hex(i + 2) * 16 + hex(i + 3)));
      i += 3;
    } else {
      out.push_back(name[i]);
    }
  }
  return out;
}

std::string RuntimeOf(const std::string& component, const std::string& parent) {
  const auto has = [&](std::string_view part) { return component.find(part) != std::string::npos; };
  if (has("cri-containerd"))
    return "containerd";
  if (has("crio-"))
    return "cri-o";
  if (has("libpod-"))
    return "podman";
  return has("docker-") || parent == "docker" ? "docker" : "";
}

}  // namespace

CgroupPath ParseCgroupPath(std::string_view path) {
  const std::vector<std::string> parts = absl::StrSplit(std::string(path), '/', absl::SkipEmpty());
  CgroupPath out;
  for (size_t i = parts.size(); i-- > 0;) {
    const std::string parent = i > 0 ? parts[i - 1] : "";
    if (parts[i].find("conmon") != std::string::npos &&
        (i + 1 == parts.size() || parts[i].find("conmon-") != std::string::npos)) {
      out.monitor = true;
      return out;
    }
    if (out.container_id.empty()) {
      out.container_id = ContainerId(parts[i]);
      if (!out.container_id.empty())
        out.runtime = RuntimeOf(parts[i], parent);
    }
    if (out.pod_uid.empty())
      out.pod_uid = PodUid(parts[i]);
  }
  if (!out.container_id.empty())
    return out;
  constexpr std::string_view kPayload = "lxc.payload.";
  for (size_t i = 0; i < parts.size(); ++i) {
    if (parts[i].starts_with(kPayload))
      out.container_id = parts[i].substr(kPayload.size());
    else if (parts[i] == "lxc" && i + 1 < parts.size())
      out.container_id = parts[i + 1];
  }
  if (!out.container_id.empty()) {
    out.runtime = "lxc";
    return out;
  }
  for (size_t i = parts.size(); i-- > 0 && out.unit.empty();) {
    if (parts[i].ends_with(".service") || parts[i].ends_with(".scope"))
      out.unit = UnescapeUnit(parts[i]);
  }
  return out;
}

}  // namespace sandpiper
