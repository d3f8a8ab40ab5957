// SPDX-License-Identifier: Apache-2.0
// The manual page, the completions and the documents contain every flag, variable and key.
#include "userspace/command/reference.h"

#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <iterator>

#include "absl/strings/str_replace.h"
#include "userspace/command/command_line.h"
#include "userspace/config/settings.h"

namespace sandpiper {
namespace {

class ReferenceTest : public ::testing::Test {
 protected:
  // Visits the flags of the subcommands that users see.
  void ForEachFlag(
      const std::function<void(const std::string& command, const CLI::Option& flag)>& visit) const {
    for (const CLI::App* command :
         app_->get_subcommands([](const CLI::App* c) { return !c->get_group().empty(); })) {
      for (const CLI::Option* flag : command->get_options()) {
        if (!flag->get_lnames().empty() && flag->get_lnames()[0] != "help")
          visit(command->get_name(), *flag);
      }
    }
  }

  CommandLine line_;
  std::unique_ptr<CLI::App> app_ = MakeApp(&line_);
};

std::string Read(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST_F(ReferenceTest, ManPageAndCompletionsHaveEveryFlag) {
  const std::string man = ManPage(*app_), bash = BashCompletion(*app_), zsh = ZshCompletion(*app_),
                    fish = FishCompletion(*app_);
  int flags = 0;
  ForEachFlag([&](const std::string& command, const CLI::Option& flag) {
    ++flags;
    const std::string name = flag.get_lnames()[0];
    EXPECT_NE(man.find(absl::StrReplaceAll("--" + name, {{"-", "\\-"}})), std::string::npos)
        << command << " " << name;
    EXPECT_NE(bash.find("--" + name), std::string::npos) << name;
    EXPECT_NE(zsh.find("--" + name + "["), std::string::npos) << name;
    EXPECT_NE(fish.find("-l " + name + " "), std::string::npos) << name;
    EXPECT_FALSE(flag.get_description().empty()) << command << " " << name;
  });
  EXPECT_GT(flags, 50);
  EXPECT_EQ(man.find("canary\n"), std::string::npos) << "the hidden command";
}

TEST_F(ReferenceTest, DocumentsHaveEveryFlag) {
  const std::string pages = Read("docs/configuration.md") + Read("docs/command-line.md");
  ForEachFlag([&](const std::string& command, const CLI::Option& flag) {
    // A switch that is on by default is documented as --no-NAME.
    const std::string name = "`--" + flag.get_lnames().back();
    EXPECT_NE(pages.find(name), std::string::npos) << command << " " << name;
  });
}

TEST_F(ReferenceTest, HelpNamesEveryVariable) {
  const std::string help = app_->get_subcommand("run")->help();
  for (const Setting& setting : Settings()) {
    if (setting.has_flag && setting.BelongsTo("run")) {
      EXPECT_NE(help.find(" [env: " + setting.Variable() + "]"), std::string::npos) << setting.key;
    }
  }
  EXPECT_NE(help.find("--log-level debug|info|warn"), std::string::npos) << help;
}

}  // namespace
}  // namespace sandpiper
