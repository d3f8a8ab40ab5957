// SPDX-License-Identifier: Apache-2.0
// Helpers to read YAML nodes. yaml-cpp throws, so these throw too: ConfigError for a node that has
// the wrong form. Only config_file.cc catches it.
#ifndef SANDPIPER_USERSPACE_CONFIG_YAML_VALUES_H_
#define SANDPIPER_USERSPACE_CONFIG_YAML_VALUES_H_

#include <yaml-cpp/yaml.h>

#include <exception>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace sandpiper {

// An error at one line of the file.
class ConfigError : public std::exception {
 public:
  ConfigError(const YAML::Node& where, std::string problem);
  // For a key that does not exist.
  static ConfigError UnknownKey(const YAML::Node& where, std::string key,
                                const std::vector<std::string>& known);

  // `key` contains the value with the error.
  void AddParent(const std::string& key);
  // "window_s in sandpiper.yaml:3: "0" is not between 1 and 86400".
  std::string Message(const std::string& origin) const;

 private:
  int line_;
  std::string key_;  // the path to the value: "sandboxes: label"
  std::string unknown_key_;
  std::string problem_;
};

std::string TextOf(const YAML::Node& node);
std::vector<std::string> TextsOf(const YAML::Node& node);
// Throws the message of the status unless it is OK.
void ThrowUnlessOk(const YAML::Node& where, const absl::Status& status);

// Calls the reader of each key of a mapping. A key without a reader is an error.
using Readers = std::map<std::string, std::function<void(const YAML::Node& value)>>;
void ReadMapping(const YAML::Node& node, const Readers& readers);

template <typename T>
std::vector<T> ReadSequence(const YAML::Node& node, T (*read)(const YAML::Node&)) {
  if (!node.IsSequence())
    throw ConfigError(node, "expected a list");
  std::vector<T> out;
  for (const YAML::Node& entry : node)
    out.push_back(read(entry));
  return out;
}

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CONFIG_YAML_VALUES_H_
