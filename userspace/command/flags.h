// SPDX-License-Identifier: Apache-2.0
// Flags of subcommands: those of the table of settings, and helpers for the others. CLI11 calls
// flags options.
#ifndef SANDPIPER_USERSPACE_COMMAND_FLAGS_H_
#define SANDPIPER_USERSPACE_COMMAND_FLAGS_H_

#include <CLI/CLI.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "userspace/config/config.h"

namespace sandpiper {

// Adds the flags of the settings that the subcommand has, and --config where it has many. They
// store nothing while they are parsed.
void AddSettingFlags(CLI::App* command);

// Stores the settings of a parsed subcommand: those of the file first, then the environment, then
// the flags, so that a flag overrides the others. An error names the flag, the variable, or the
// file, line and key.
absl::Status ReadSettings(const CLI::App& command, Config* config);

// A flag that takes one of a few words.
template <typename T>
CLI::Option* AddChoice(CLI::App* command, const std::string& name,
                       const std::vector<std::pair<std::string, T>>& choices, T* out,
                       const std::string& help) {
  std::string words;
  for (const auto& [word, unused] : choices)
    absl::StrAppend(&words, words.empty() ? "" : "|", word);
  const auto find = [choices](const std::string& text) -> const T* {
    for (const auto& [word, value] : choices) {
      if (word == text)
        return &value;
    }
    return nullptr;
  };
  const auto check = [find, words](const std::string& text) {
    return find(text) ? "" : absl::StrCat("\"", text, "\" is not one of ", words);
  };
  return command
      ->add_option_function<std::string>(
          name, [find, out](const std::string& text) { *out = *find(text); }, help)
      ->type_name(words)
      ->check(check);
}

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_COMMAND_FLAGS_H_
