// SPDX-License-Identifier: Apache-2.0
// The manual page, completions and the page on configuration know every flag, variable and key.
#include "userspace/command/reference.h"

#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <iterator>
#include <set>

#include "absl/strings/str_replace.h"
#include "userspace/command/command_line.h"
#include "userspace/config/config_file.h"

namespace sandpiper {
namespace {

class ReferenceTest : public ::testing::Test {
 protected:
  // Of the subcommands that users see.
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

TEST_F(ReferenceTest, NothingIsLeftOut) {
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
  EXPECT_EQ(man.find("canary\n"), std::string::npos) << "what users do not call";
}

TEST_F(ReferenceTest, ThePagesHaveEveryFlagAndVariable) {
  const std::string pages = Read("docs/configuration.md") + Read("docs/command-line.md");
  ForEachFlag([&](const std::string& command, const CLI::Option& flag) {
    // One that can be turned off is told by how to do so.
    const std::string name = "`--" + flag.get_lnames().back();
    EXPECT_NE(pages.find(name), std::string::npos) << command << " " << name;
    EXPECT_NE(pages.find("`" + flag.get_envname()), std::string::npos) << flag.get_envname();
  });
}

// A key that is none is answered with all that there are.
TEST_F(ReferenceTest, EveryKeyIsAFlagOfRunOrStandsOnThePage) {
  Config config;
  const std::string error(ReadConfigText("x", "no_such_key: 1", &config).message());
  const std::string keys = error.substr(error.find(", but ") + 6);
  std::set<std::string> flags;
  ForEachFlag([&](const std::string& command, const CLI::Option& flag) {
    if (command == "run")
      flags.insert(absl::StrReplaceAll(flag.get_lnames()[0], {{"-", "_"}}));
  });
  flags.erase("config");
  const std::string page = Read("docs/configuration.md");
  size_t begin = 0;
  while (begin < keys.size()) {
    const size_t end = std::min(keys.find(", ", begin), keys.size());
    const std::string key = keys.substr(begin, end - begin);
    EXPECT_TRUE(flags.erase(key) > 0 || page.find("| `" + key + "`") != std::string::npos) << key;
    begin = end + 2;
  }
  EXPECT_TRUE(flags.empty()) << "flags of run that are no key: " << *flags.begin();
}

}  // namespace
}  // namespace sandpiper
