// SPDX-License-Identifier: Apache-2.0
// The table of settings. The flags, the environment variables, the keys of the configuration file,
// the tables of docs/configuration.md, the manual page and the completions of shells are made from
// it. To add a setting, add a member to Config and a row to the table in settings.cc.
#ifndef SANDPIPER_USERSPACE_CONFIG_SETTINGS_H_
#define SANDPIPER_USERSPACE_CONFIG_SETTINGS_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "userspace/config/config.h"
#include "userspace/config/value_type.h"

namespace sandpiper {

struct Setting {
  const char* key;  // in the configuration file; the other names are made from it
  ValueType type;
  const char* help;
  std::vector<std::string_view> commands;  // the subcommands that have the setting
  // True if a running collector takes over a new value on SIGHUP.
  bool is_reloadable = false;
  // False: no flag. The environment variable then holds YAML, like the file.
  bool has_flag = true;
  // For documents, where the value in Config says too little.
  const char* default_text = nullptr;

  std::string Flag() const;      // "--window-s"
  std::string Variable() const;  // "SANDPIPER_WINDOW_S"
  std::string DefaultText() const;
  bool IsOnByDefault() const;  // switches: they have the flag --no-KEY too
  bool BelongsTo(std::string_view command) const;
};

// All settings, in the order of the documents.
const std::vector<Setting>& Settings();

// Null where no setting has this key.
const Setting* FindSetting(std::string_view key);

// Stores the variables of all settings of `command`. An error names the variable.
absl::Status ReadSettingVariables(std::string_view command, const GetEnv& get_env, Config* config);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CONFIG_SETTINGS_H_
