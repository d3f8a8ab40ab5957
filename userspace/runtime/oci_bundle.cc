// SPDX-License-Identifier: Apache-2.0
#include "userspace/runtime/oci_bundle.h"

#include <glob.h>
#include <rapidjson/document.h>

#include <algorithm>
#include <cctype>
#include <fstream>

#include "absl/strings/str_cat.h"

namespace sandpiper {
namespace {

constexpr size_t kConfigMax = 1 << 20;

std::string Text(const rapidjson::Value& value) {
  return value.IsString() ? std::string(value.GetString(), value.GetStringLength()) : std::string();
}

// The value of the first of these annotations that exists: containerd and CRI-O use other keys.
std::string FirstOf(const Container::Texts& annotations, std::initializer_list<const char*> keys) {
  for (const char* key : keys) {
    if (const auto it = annotations.find(key); it != annotations.end())
      return it->second;
  }
  return "";
}

}  // namespace

std::vector<std::string> DefaultBundleFolders() {
  return {"/run/containerd/io.containerd.runtime.v2.task/*",
          "/run/k3s/containerd/io.containerd.runtime.v2.task/*",
          "/var/lib/containers/storage/overlay-containers",
          "/run/containers/storage/overlay-containers"};
}

std::optional<Container> ParseBundle(const std::string& id, std::string_view json) {
  rapidjson::Document config;
  config.Parse<rapidjson::kParseIterativeFlag>(json.data(), json.size());
  if (config.HasParseError() || !config.IsObject())
    return std::nullopt;
  Container out;
  out.id = id;
  out.complete = false;
  if (const auto it = config.FindMember("annotations");
      it != config.MemberEnd() && it->value.IsObject()) {
    for (const auto& member : it->value.GetObject())
      out.annotations.emplace(std::string(member.name.GetString(), member.name.GetStringLength()),
                              Text(member.value));
  }
  if (const auto process = config.FindMember("process");
      process != config.MemberEnd() && process->value.IsObject()) {
    const auto env = process->value.FindMember("env");
    if (env != process->value.MemberEnd() && env->value.IsArray()) {
      for (const auto& entry : env->value.GetArray()) {
        const std::string text = Text(entry);
        if (const size_t equals = text.find('='); equals != std::string::npos)
          out.environment.emplace(text.substr(0, equals), text.substr(equals + 1));
      }
    }
  }
  const Container::Texts& a = out.annotations;
  const std::string type =
      FirstOf(a, {"io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"});
  out.pause = type == "sandbox";
  out.name = FirstOf(a, {"io.kubernetes.cri.container-name", "io.kubernetes.container.name"});
  out.image = FirstOf(a, {"io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName"});
  out.pod.name = FirstOf(a, {"io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"});
  out.pod.name_space =
      FirstOf(a, {"io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"});
  out.pod.uid = FirstOf(a, {"io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid"});
  const std::string manager = FirstOf(a, {"io.container.manager"});
  if (a.contains("io.kubernetes.cri.container-type"))
    out.runtime = "containerd";
  else
    out.runtime = manager == "libpod" ? "podman" : manager;
  return out;
}

std::optional<Container> FindBundle(const std::string& id, const std::vector<std::string>& folders,
                                    const std::string& root) {
  // The id becomes part of a path.
  if (id.empty() || !std::all_of(id.begin(), id.end(), [](unsigned char c) { return isxdigit(c); }))
    return std::nullopt;
  for (const std::string& folder : folders) {
    for (const char* file : {"config.json", "userdata/config.json"}) {
      glob_t found = {};
      std::string path;
      if (glob(absl::StrCat(root, folder, "/", id, "/", file).c_str(), GLOB_NOSORT, nullptr,
               &found) == 0 &&
          found.gl_pathc > 0)
        path = found.gl_pathv[0];
      globfree(&found);
      std::ifstream in(path, std::ios::binary);
      if (path.empty() || !in)
        continue;
      std::string text(kConfigMax, '\0');
      in.read(text.data(), static_cast<std::streamsize>(text.size()));
      text.resize(static_cast<size_t>(in.gcount()));
      if (auto container = ParseBundle(id, text))
        return container;
    }
  }
  return std::nullopt;
}

}  // namespace sandpiper
