// SPDX-License-Identifier: Apache-2.0
// Every setting of the table: its flag, its variable and its key of the file accept the same
// values, and a flag overrides a variable, which overrides the file, which overrides the default.
#include "userspace/config/settings.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "userspace/command/command_line.h"
#include "userspace/config/config_file.h"
#include "userspace/config/settings_markdown.h"

namespace sandpiper {
namespace {

// Two values that differ from the default, values at the limits, and values that are rejected.
struct Examples {
  std::vector<std::string> accepted;
  std::vector<std::string> rejected;
};

Examples ExamplesOf(const Setting& setting) {
  static const std::map<std::string, Examples> kByKey = {
      {"avoid",
       {{"process:tp_btf", "packet:cgroup", "process:tp_btf,packet:cgroup"},
        {"process", "foo:bar", "process:cgroup", "process:tp_btf,foo:bar"}}},
      {"cgroup", {{"/a", "b=ID"}, {}}},
      {"device", {{"tap0", "vm:tap1=ID"}, {}}},
      {"dns_port", {{"5353", "1", "65535", "1,2,3,4"}, {"0", "65536", "x", "53,x", "1,2,3,4,5"}}},
      {"redact_arguments", {{"a", "b(c)"}, {"(", "a)"}}},
      {"redact_hosts", {{"a", "b(c)"}, {"(", "a)"}}},
      {"ring_bytes", {{"64K", "4096", "1G"}, {"2048", "2G", "5000", "1T", "x", "-4K"}}},
      {"critical_ring_bytes", {{"64K", "4096", "1G"}, {"2048", "2G", "5000", "1T", "x", "-4K"}}},
      {"spool_bytes", {{"64K", "1MiB", "7"}, {"x", "1T", "-1", "1.5M"}}},
      {"capture_bytes", {{"64K", "1MiB", "7"}, {"x", "1T", "-1", "1.5M"}}},
      {"log_level", {{"debug", "warn", "info"}, {"9", "Debug", "error"}}},
      {"diagnostics", {{"json", "text"}, {"yaml", "1"}}},
  };
  if (const auto found = kByKey.find(setting.key); found != kByKey.end())
    return found->second;
  if (setting.type.is_switch) {
    const bool is_on = setting.IsOnByDefault();
    return {{is_on ? "false" : "true", is_on ? "true" : "false", "yes", "off", "On"},
            {"maybe", "2", "truely"}};
  }
  if (setting.type.range) {
    const auto [min, max] = *setting.type.range;
    return {{absl::StrCat(max), absl::StrCat(min), absl::StrCat(max - 1)},
            {absl::StrCat(min - 1), absl::StrCat(max + 1), "many", "1.5", "1s", "0x10",
             "99999999999999999999"}};
  }
  return {{"/a/path", "another text"}, {}};  // any text
}

class SettingsTest : public ::testing::TestWithParam<const Setting*> {
 protected:
  void TearDown() override {
    for (const Setting& setting : Settings())
      unsetenv(setting.Variable().c_str());
  }

  // A command that has the setting.
  static std::string CommandOf(const Setting& setting) {
    return std::string(setting.commands.back() == "replay" ? "doctor" : setting.commands.back());
  }

  static absl::StatusOr<Config> Read(const std::vector<std::string>& words) {
    std::vector<std::string> all = {"sandpiper"};
    all.insert(all.end(), words.begin(), words.end());
    std::vector<char*> argv;
    for (std::string& word : all)
      argv.push_back(word.data());
    CommandLine line;
    const absl::Status status = ReadCommandLine(static_cast<int>(argv.size()), argv.data(), &line);
    if (!status.ok())
      return status;
    return line.config;
  }

  // The flag with its value. A switch takes a value only after "=".
  static std::vector<std::string> FlagWords(const Setting& setting, const std::string& value) {
    if (setting.type.is_switch)
      return {absl::StrCat(setting.Flag(), "=", value)};
    return {setting.Flag(), value};
  }

  static absl::StatusOr<Config> ReadFlag(const Setting& setting, const std::string& value) {
    std::vector<std::string> words = {CommandOf(setting)};
    for (const std::string& word : FlagWords(setting, value))
      words.push_back(word);
    return Read(words);
  }

  static absl::StatusOr<Config> ReadVariable(const Setting& setting, const std::string& value) {
    setenv(setting.Variable().c_str(), value.c_str(), 1);
    auto config = Read({CommandOf(setting)});
    unsetenv(setting.Variable().c_str());
    return config;
  }

  static std::string Yaml(const Setting& setting, const std::string& value) {
    return absl::StrCat(setting.key, ": '", value, "'\n");
  }

  static absl::StatusOr<Config> ReadFile(const Setting& setting, const std::string& value) {
    Config config;
    const absl::Status status = ReadConfigText("file", Yaml(setting, value), &config);
    if (!status.ok())
      return status;
    return config;
  }

  static std::string ValueIn(const Setting& setting, const absl::StatusOr<Config>& config) {
    return config.ok() ? absl::StrJoin(setting.type.get(*config), ",")
                       : std::string(config.status().message());
  }
};

TEST_P(SettingsTest, FlagVariableAndFileAcceptTheSameValues) {
  const Setting& setting = *GetParam();
  for (const std::string& value : ExamplesOf(setting).accepted) {
    const auto by_file = ReadFile(setting, value);
    ASSERT_TRUE(by_file.ok()) << by_file.status();
    EXPECT_EQ(ValueIn(setting, ReadFlag(setting, value)), ValueIn(setting, by_file)) << value;
    EXPECT_EQ(ValueIn(setting, ReadVariable(setting, value)), ValueIn(setting, by_file)) << value;
  }
}

TEST_P(SettingsTest, FlagVariableAndFileRejectTheSameValues) {
  const Setting& setting = *GetParam();
  for (const std::string& value : ExamplesOf(setting).rejected) {
    const auto by_flag = ReadFlag(setting, value);
    const auto by_variable = ReadVariable(setting, value);
    const auto by_file = ReadFile(setting, value);
    ASSERT_FALSE(by_flag.ok()) << value;
    ASSERT_FALSE(by_variable.ok()) << value;
    ASSERT_FALSE(by_file.ok()) << value;
    // The error names the source.
    const std::string flag_error(by_flag.status().message());
    const std::string variable_error(by_variable.status().message());
    const std::string file_error(by_file.status().message());
    EXPECT_EQ(flag_error.find(setting.Flag()), 0u) << flag_error;
    EXPECT_EQ(variable_error.find(setting.Variable()), 0u) << variable_error;
    EXPECT_EQ(file_error.find(absl::StrCat(setting.key, " in file:1: ")), 0u) << file_error;
  }
}

TEST_P(SettingsTest, FlagOverridesVariableOverridesFileOverridesDefault) {
  const Setting& setting = *GetParam();
  const Examples examples = ExamplesOf(setting);
  const std::string& one = examples.accepted[0];
  const std::string& other = examples.accepted[1];
  const std::string value_one = ValueIn(setting, ReadFile(setting, one));
  const std::string value_other = ValueIn(setting, ReadFile(setting, other));
  ASSERT_NE(value_one, value_other);

  const std::string path = ::testing::TempDir() + "settings-" + setting.key + ".yaml";
  std::ofstream(path) << Yaml(setting, one);
  setenv("SANDPIPER_CONFIG", path.c_str(), 1);
  const std::string command = CommandOf(setting);
  EXPECT_EQ(ValueIn(setting, Read({command})), value_one);
  setenv(setting.Variable().c_str(), other.c_str(), 1);
  EXPECT_EQ(ValueIn(setting, Read({command})), value_other);
  EXPECT_EQ(ValueIn(setting, ReadFlag(setting, one)), value_one);
  unsetenv("SANDPIPER_CONFIG");
  unsetenv(setting.Variable().c_str());
  EXPECT_EQ(ValueIn(setting, Read({command})), ValueIn(setting, Config()));
}

std::vector<const Setting*> SettingsWithFlags() {
  std::vector<const Setting*> out;
  for (const Setting& setting : Settings()) {
    if (setting.has_flag)
      out.push_back(&setting);
  }
  return out;
}

INSTANTIATE_TEST_SUITE_P(All, SettingsTest, ::testing::ValuesIn(SettingsWithFlags()),
                         [](const auto& test) { return std::string(test.param->key); });

TEST(Settings, KeysAreUniqueAndDescribed) {
  std::set<std::string> keys;
  for (const Setting& setting : Settings()) {
    EXPECT_TRUE(keys.insert(setting.key).second) << setting.key;
    EXPECT_STRNE(setting.help, "") << setting.key;
    EXPECT_FALSE(setting.commands.empty()) << setting.key;
    EXPECT_EQ(FindSetting(setting.key), &setting);
  }
  EXPECT_EQ(FindSetting("no_such_key"), nullptr);
}

TEST(Settings, SwitchThatIsOnHasNegatedFlag) {
  CommandLine line;
  std::string words[] = {"sandpiper", "run", "--no-stdout", "--verbose"};
  char* argv[] = {words[0].data(), words[1].data(), words[2].data(), words[3].data()};
  ASSERT_TRUE(ReadCommandLine(4, argv, &line).ok());
  EXPECT_FALSE(line.config.records_on_stdout);
  EXPECT_TRUE(line.config.diagnostics.verbose);
}

TEST(Settings, DocumentIsUpToDate) {
  std::ifstream file("docs/configuration.md");
  const std::string document{std::istreambuf_iterator<char>(file), {}};
  ASSERT_FALSE(document.empty());
  EXPECT_EQ(document, WithSettings(document))
      << "run: bazel run //userspace/config:write_settings -- \"$PWD/docs/configuration.md\"";
}

TEST(Settings, ReloadableSettingsAreAppliedWithoutRestart) {
  Config before;
  Config after;
  before.file = {{"window_s", "1"}, {"spool", "a"}, {"log_level", "info"}};
  after.file = {{"window_s", "2"}, {"ring_bytes", "1M"}, {"log_level", "info"}};
  const ConfigChange change = CompareFiles(before, after);
  EXPECT_EQ(change.applied, std::vector<std::string>{"window_s"});
  EXPECT_EQ(change.after_restart, (std::vector<std::string>{"spool", "ring_bytes"}));
}

}  // namespace
}  // namespace sandpiper
