// SPDX-License-Identifier: Apache-2.0
#include "userspace/runtime/engine_replies.h"

#include <rapidjson/document.h>

#include <utility>

namespace sandpiper {
namespace {

using Json = rapidjson::Value;

absl::StatusOr<rapidjson::Document> Parse(std::string_view json) {
  rapidjson::Document document;
  // Iterative: only the length of the answer bounds its nesting.
  document.Parse<rapidjson::kParseIterativeFlag>(json.data(), json.size());
  if (document.HasParseError())
    return absl::InternalError("the answer is not valid JSON");
  return document;
}

const Json* Get(const Json& object, const char* key) {
  if (!object.IsObject())
    return nullptr;
  const auto it = object.FindMember(key);
  return it == object.MemberEnd() ? nullptr : &it->value;
}

const Json& Or(const Json* value) {
  static const Json kNothing;
  return value ? *value : kNothing;
}

std::string Text(const Json* value) {
  return value && value->IsString() ? std::string(value->GetString(), value->GetStringLength())
                                    : "";
}

Container::Texts Texts(const Json* object) {
  Container::Texts out;
  if (!object || !object->IsObject())
    return out;
  for (const auto& member : object->GetObject())
    out.emplace(std::string(member.name.GetString(), member.name.GetStringLength()),
                Text(&member.value));
  return out;
}

// Converts ["A=1", …].
Container::Texts Environment(const Json* list) {
  Container::Texts out;
  if (!list || !list->IsArray())
    return out;
  for (const Json& entry : list->GetArray()) {
    const std::string text = Text(&entry);
    if (const size_t equals = text.find('='); equals != std::string::npos)
      out.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return out;
}

std::string WithoutSlash(const std::string& name) {
  return name.starts_with('/') ? name.substr(1) : name;
}

// NetworkMode reads "container:ID" if the container shares the network of another one.
std::string NetworkOf(const Json* host_config) {
  constexpr std::string_view kContainer = "container:";
  const std::string mode = host_config ? Text(Get(*host_config, "NetworkMode")) : "";
  return mode.starts_with(kContainer) ? mode.substr(kContainer.size()) : "";
}

}  // namespace

absl::StatusOr<std::string> EngineName(std::string_view json) {
  const auto version = Parse(json);
  if (!version.ok())
    return version.status();
  if (const Json* components = Get(*version, "Components"); components && components->IsArray()) {
    for (const Json& component : components->GetArray()) {
      if (Text(Get(component, "Name")).find("Podman") != std::string::npos)
        return "podman";
    }
  }
  return "docker";
}

absl::StatusOr<Container> ContainerOfInspect(std::string_view json) {
  const auto answer = Parse(json);
  if (!answer.ok())
    return answer.status();
  const Json& config = Or(Get(*answer, "Config"));
  Container out;
  out.id = Text(Get(*answer, "Id"));
  out.name = WithoutSlash(Text(Get(*answer, "Name")));
  out.image = Text(Get(config, "Image"));
  out.labels = Texts(Get(config, "Labels"));
  out.environment = Environment(Get(config, "Env"));
  out.network_of = NetworkOf(Get(*answer, "HostConfig"));
  return out;
}

absl::StatusOr<std::vector<Container>> ContainersOfList(std::string_view json) {
  const auto answer = Parse(json);
  if (!answer.ok())
    return answer.status();
  if (!answer->IsArray())
    return absl::InternalError("the list of containers is not a JSON list");
  std::vector<Container> out;
  for (const Json& entry : answer->GetArray()) {
    const std::string id = Text(Get(entry, "Id"));
    if (id.empty())
      continue;
    Container container;
    container.id = id;
    if (const Json* names = Get(entry, "Names"); names && names->IsArray() && !names->Empty())
      container.name = WithoutSlash(Text(&(*names)[0]));
    container.image = Text(Get(entry, "Image"));
    container.labels = Texts(Get(entry, "Labels"));
    container.complete = false;
    out.push_back(std::move(container));
  }
  return out;
}

std::optional<Container> ContainerOfEvent(std::string_view json) {
  const auto event = Parse(json);
  if (!event.ok())
    return std::nullopt;
  const Json& actor = Or(Get(*event, "Actor"));
  Container out;
  out.id = Text(Get(actor, "ID"));
  // The attributes mix labels with properties of the container.
  out.labels = Texts(Get(actor, "Attributes"));
  out.name = out.labels["name"];
  out.image = out.labels["image"];
  out.complete = false;
  return out.id.empty() ? std::nullopt : std::optional(std::move(out));
}

}  // namespace sandpiper
