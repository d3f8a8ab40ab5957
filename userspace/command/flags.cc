// SPDX-License-Identifier: Apache-2.0
#include "userspace/command/flags.h"

#include <algorithm>

#include "userspace/base/status.h"
#include "userspace/config/config_file.h"
#include "userspace/config/settings.h"

namespace sandpiper {
namespace {

constexpr char kConfigFlag[] = "--config", kConfigVariable[] = "SANDPIPER_CONFIG";

std::string Help(const Setting& setting) {
  std::string out = setting.help;
  if (setting.type.range)
    absl::StrAppend(&out, "; ", setting.type.range->first, " to ", setting.type.range->second);
  if (const std::string value = setting.DefaultText(); !value.empty() && !setting.type.is_switch)
    absl::StrAppend(&out, " [default: ", value, "]");
  if (setting.IsOnByDefault())
    out += " [default]";
  return absl::StrCat(out, " [env: ", setting.Variable(), "]");
}

void AddFlag(CLI::App* command, const Setting& setting) {
  const std::string flag = setting.Flag();
  const std::string help = Help(setting);
  if (setting.type.is_switch) {
    const std::string negated = absl::StrCat(",!--no-", flag.substr(2));
    command->add_flag(setting.IsOnByDefault() ? flag + negated : flag, help)->take_last();
    return;
  }
  CLI::Option* const option = command->add_option(flag, help)->type_name(setting.type.metavar);
  if (setting.type.is_list)
    option->take_all();
}

std::string ConfigPath(const CLI::App& command) {
  const CLI::Option* const option = command.get_option_no_throw(kConfigFlag);
  return option && option->count() > 0 ? option->results().back() : GetProcessEnv(kConfigVariable);
}

absl::Status ApplyFlag(const CLI::Option& option, const Setting& setting, Config* config) {
  Texts value;
  for (const std::string& text : option.results()) {
    const Texts entries = SplitValue(setting.type, text);
    value.insert(value.end(), entries.begin(), entries.end());
  }
  if (setting.type.is_switch)
    value = {value.back()};
  const absl::Status status = setting.type.set(value, config);
  if (status.ok())
    return status;
  return absl::InvalidArgumentError(
      absl::StrCat(setting.Flag(), ": ", std::string(status.message())));
}

}  // namespace

void AddSettingFlags(CLI::App* command) {
  const std::string name = command->get_name();
  bool has_yaml_settings = false;
  for (const Setting& setting : Settings()) {
    if (!setting.BelongsTo(name))
      continue;
    if (!setting.has_flag)
      has_yaml_settings = true;
    else
      AddFlag(command, setting);
  }
  const std::string help = absl::StrCat(
      "configuration file, YAML; environment and flags override it [env: ", kConfigVariable, "]");
  if (has_yaml_settings)
    command->add_option(kConfigFlag, help)->type_name("FILE");
}

absl::Status ReadSettings(const CLI::App& command, Config* config) {
  const std::string name = command.get_name();
  const auto belongs = [&](const Setting& setting) { return setting.BelongsTo(name); };
  if (std::none_of(Settings().begin(), Settings().end(), belongs))
    return absl::OkStatus();
  if (const std::string path = ConfigPath(command); !path.empty())
    RETURN_IF_ERROR(ReadConfigFile(path, config));
  RETURN_IF_ERROR(ReadSettingVariables(name, GetProcessEnv, config));
  for (const Setting& setting : Settings()) {
    const CLI::Option* const option = command.get_option_no_throw(setting.Flag());
    if (option && option->count() > 0)
      RETURN_IF_ERROR(ApplyFlag(*option, setting, config));
  }
  return absl::OkStatus();
}

}  // namespace sandpiper
