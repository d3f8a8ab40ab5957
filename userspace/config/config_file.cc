// SPDX-License-Identifier: Apache-2.0
#include "userspace/config/config_file.h"

#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "userspace/config/settings.h"
#include "userspace/config/yaml_values.h"

namespace sandpiper {
namespace {

constexpr char kRuleKeys[] =
    "a rule takes exactly one of label, annotation, environment, cgroup, unit, container";

// Reads one rule of the key sandboxes.
class RuleReader {
 public:
  SelectionRule Read(const YAML::Node& node) {
    using By = SelectionRule::By;
    ReadMapping(node,
                {{"label", SelectBy(By::kLabel)},
                 {"annotation", SelectBy(By::kAnnotation)},
                 {"environment", SelectBy(By::kEnvironment)},
                 {"cgroup", SelectBy(By::kCgroup)},
                 {"unit", SelectBy(By::kUnit)},
                 {"container", SelectBy(By::kContainer)},
                 {"role", [this](const YAML::Node& value) { ReadRole(value); }},
                 {"id", [this](const YAML::Node& value) { ReadId(value); }},
                 {"namespace", [this](const YAML::Node& value) { namespace_ = TextOf(value); }},
                 {"labels", [this](const YAML::Node& value) { ReadLabels(value); }}});
    if (!rule_)
      throw ConfigError(node, kRuleKeys);
    if (role_)
      rule_->role = *role_;
    rule_->id_is_pod = id_is_pod_;
    rule_->name_space = namespace_;
    rule_->labels = labels_;
    return *std::move(rule_);
  }

 private:
  std::function<void(const YAML::Node&)> SelectBy(SelectionRule::By by) {
    return [this, by](const YAML::Node& value) {
      if (rule_)
        throw ConfigError(value, kRuleKeys);
      if (by == SelectionRule::By::kContainer && TextOf(value) != "any")
        throw ConfigError(value, absl::StrCat(Quoted(TextOf(value)), " is not any"));
      absl::StatusOr<SelectionRule> rule = MakeRule(by, TextOf(value));
      ThrowUnlessOk(value, rule.status());
      rule_ = *std::move(rule);
    };
  }

  void ReadRole(const YAML::Node& value) {
    const std::string text = TextOf(value);
    if (text != "app" && text != "sidecar")
      throw ConfigError(value, absl::StrCat(Quoted(text), " is not one of app|sidecar"));
    role_ = text == "app" ? Role::kApp : Role::kSidecar;
  }

  void ReadId(const YAML::Node& value) {
    const std::string text = TextOf(value);
    if (text != "value" && text != "pod")
      throw ConfigError(value, absl::StrCat(Quoted(text), " is not one of value|pod"));
    id_is_pod_ = text == "pod";
  }

  void ReadLabels(const YAML::Node& value) {
    try {
      labels_ = value.as<std::map<std::string, std::string>>();
    } catch (const YAML::Exception&) {
      throw ConfigError(value, "expected a mapping of keys to values");
    }
  }

  // MakeRule chooses the role unless the file has one.
  std::optional<SelectionRule> rule_;
  std::optional<Role> role_;
  bool id_is_pod_ = false;
  std::string namespace_;
  std::map<std::string, std::string> labels_;
};

SelectionRule ReadRule(const YAML::Node& node) { return RuleReader().Read(node); }

RuntimeSocket ReadSocket(const YAML::Node& node) {
  RuntimeSocket socket;
  bool has_api = false;
  const auto read_api = [&](const YAML::Node& value) {
    const std::string text = TextOf(value);
    if (text != "cri" && text != "docker")
      throw ConfigError(value, absl::StrCat(Quoted(text),
                                            " is neither cri (containerd, CRI-O) nor "
                                            "docker (Docker, Podman)"));
    socket.api = text == "cri" ? RuntimeSocket::Api::kCri : RuntimeSocket::Api::kEngine;
    has_api = true;
  };
  ReadMapping(node, {{"api", read_api},
                     {"socket", [&](const YAML::Node& value) { socket.path = TextOf(value); }}});
  if (!has_api || socket.path.empty())
    throw ConfigError(node, "a runtime needs the keys api and socket");
  return socket;
}

void ReadSetting(const Setting& setting, const YAML::Node& node, Config* config) {
  const bool is_sequence = setting.type.is_list && node.IsSequence();
  if (setting.type.is_list && !is_sequence && !node.IsScalar())
    throw ConfigError(node, "expected a list of texts");
  const Texts value = is_sequence ? TextsOf(node) : SplitValue(setting.type, TextOf(node));
  ThrowUnlessOk(node, setting.type.set(value, config));
}

Readers ReadersOf(Config* config) {
  Readers readers;
  for (const Setting& setting : Settings()) {
    readers[setting.key] = [&setting, config](const YAML::Node& node) {
      ReadSetting(setting, node, config);
    };
  }
  readers["sandboxes"] = [config](const YAML::Node& node) {
    config->rules = ReadSequence(node, ReadRule);
  };
  readers["runtimes"] = [config](const YAML::Node& node) {
    config->sockets = ReadSequence(node, ReadSocket);
  };
  return readers;
}

// Stores the mapping that `load` returns. yaml-cpp reports errors as exceptions, which end here.
absl::Status Read(const std::string& origin, const std::function<YAML::Node()>& load,
                  Config* config) {
  try {
    const YAML::Node root = load();
    if (!root.IsNull())
      ReadMapping(root, ReadersOf(config));
    for (const auto& entry : root)
      config->file[TextOf(entry.first)] = YAML::Dump(entry.second);
    return absl::OkStatus();
  } catch (const ConfigError& error) {
    return absl::InvalidArgumentError(error.Message(origin));
  } catch (const YAML::BadFile&) {
    return absl::NotFoundError(absl::StrCat(origin, " cannot be read"));
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(
        absl::StrCat("invalid YAML in ", origin, ":", error.mark.line + 1, ": ", error.msg));
  }
}

}  // namespace

absl::Status ReadConfigFile(const std::string& path, Config* config) {
  return Read(
      path, [&] { return YAML::LoadFile(path); }, config);
}

absl::Status ReadConfigText(const std::string& origin, const std::string& yaml, Config* config) {
  return Read(
      origin, [&] { return YAML::Load(yaml); }, config);
}

absl::Status ReadConfigValue(const std::string& origin, const std::string& key,
                             const std::string& yaml, Config* config) {
  const auto load = [&] {
    YAML::Node root;
    root[key] = YAML::Load(yaml);
    return root;
  };
  return Read(origin, load, config);
}

}  // namespace sandpiper
