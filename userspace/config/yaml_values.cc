// SPDX-License-Identifier: Apache-2.0
#include "userspace/config/yaml_values.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "userspace/config/value_type.h"

namespace sandpiper {
namespace {

// How many characters have to be inserted, removed or replaced to get from `a` to `b`
// (Levenshtein distance).
size_t EditDistance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

// The known key that was probably meant, or empty.
std::string Closest(const std::string& key, const std::vector<std::string>& known) {
  const size_t limit = key.size() < 5 ? 1 : 2;
  std::string best;
  size_t best_distance = limit + 1;
  for (const std::string& candidate : known) {
    const size_t distance = EditDistance(key, candidate);
    if (distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

}  // namespace

ConfigError::ConfigError(const YAML::Node& where, std::string problem)
    : line_(where.Mark().line + 1), problem_(std::move(problem)) {}

ConfigError ConfigError::UnknownKey(const YAML::Node& where, std::string key,
                                    const std::vector<std::string>& known) {
  const std::string meant = Closest(key, known);
  ConfigError error(where, meant.empty() ? absl::StrCat("known keys: ", absl::StrJoin(known, ", "))
                                         : absl::StrCat("did you mean ", Quoted(meant), "?"));
  error.unknown_key_ = std::move(key);
  return error;
}

void ConfigError::AddParent(const std::string& key) {
  key_ = key_.empty() ? key : absl::StrCat(key, ": ", key_);
}

std::string ConfigError::Message(const std::string& origin) const {
  const std::string where = absl::StrCat(" in ", origin, ":", line_);
  if (unknown_key_.empty())
    return absl::StrCat(key_.empty() ? "configuration" : key_, where, ": ", problem_);
  return absl::StrCat("unknown key ", Quoted(unknown_key_), key_.empty() ? "" : " of ", key_, where,
                      "; ", problem_);
}

std::string TextOf(const YAML::Node& node) {
  if (!node.IsScalar())
    throw ConfigError(node, "expected one value");
  return node.Scalar();
}

std::vector<std::string> TextsOf(const YAML::Node& node) { return ReadSequence(node, TextOf); }

void ThrowUnlessOk(const YAML::Node& where, const absl::Status& status) {
  if (!status.ok())
    throw ConfigError(where, std::string(status.message()));
}

void ReadMapping(const YAML::Node& node, const Readers& readers) {
  if (!node.IsMap())
    throw ConfigError(node, "expected a mapping of keys to values");
  for (const auto& entry : node) {
    const std::string key = TextOf(entry.first);
    const auto reader = readers.find(key);
    if (reader == readers.end()) {
      std::vector<std::string> known;
      for (const auto& [name, unused] : readers)
        known.push_back(name);
      throw ConfigError::UnknownKey(entry.first, key, known);
    }
    try {
      reader->second(entry.second);
    } catch (ConfigError& error) {
      error.AddParent(key);
      throw;
    }
  }
}

}  // namespace sandpiper
