// SPDX-License-Identifier: Apache-2.0
// Flags, environment and file in each command. settings_test.cc tests each setting.
#include "userspace/command/command_line.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <vector>

namespace sandpiper {
namespace {

class CommandLineTest : public ::testing::Test {
 protected:
  void SetUp() override { std::ofstream(file_) << "window_s: 3\n"; }
  void TearDown() override {
    unsetenv("SANDPIPER_WINDOW_S");
    unsetenv("SANDPIPER_CGROUP");
  }
  static absl::StatusOr<CommandLine> Read(std::vector<std::string> words) {
    words.insert(words.begin(), "sandpiper");
    std::vector<char*> argv;
    for (std::string& word : words)
      argv.push_back(word.data());
    CommandLine line;
    if (const absl::Status status =
            ReadCommandLine(static_cast<int>(argv.size()), argv.data(), &line);
        !status.ok())
      return status;
    return line;
  }
  // The value of window_s. The flags are inserted after the name of the command.
  int64_t Window(std::vector<std::string> flags, const std::vector<std::string>& command) const {
    flags.insert(flags.begin(), command.front());
    flags.insert(flags.end(), command.begin() + 1, command.end());
    const auto line = Read(flags);
    EXPECT_TRUE(line.ok()) << line.status();
    return line.ok() ? std::chrono::duration_cast<std::chrono::seconds>(line->config.window).count()
                     : -1;
  }

  const std::string file_ = ::testing::TempDir() + "command-line.yaml";
};

TEST_F(CommandLineTest, EachCommandReadsFileThenEnvironmentThenFlags) {
  for (const std::vector<std::string>& command : {std::vector<std::string>{"exec", "--", "true"},
                                                  {"run"},
                                                  {"doctor"},
                                                  {"validate"},
                                                  {"replay", "capture"}}) {
    EXPECT_EQ(Window({}, command), 60) << command[0];
    EXPECT_EQ(Window({"--config", file_}, command), 3) << command[0];
    setenv("SANDPIPER_WINDOW_S", "7", 1);
    EXPECT_EQ(Window({"--config", file_}, command), 7) << command[0];
    EXPECT_EQ(Window({"--config", file_, "--window-s", "5"}, command), 5) << command[0];
    unsetenv("SANDPIPER_WINDOW_S");
  }
}

TEST_F(CommandLineTest, VariableOfOtherCommandIsIgnored) {
  setenv("SANDPIPER_CGROUP", "/env", 1);
  const auto run = Read({"run", "--cgroup", "/flag"});
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->config.cgroups, std::vector<std::string>{"/flag"});
  setenv("SANDPIPER_WINDOW_S", "no number", 1);
  EXPECT_FALSE(Read({"run"}).ok());
  EXPECT_TRUE(Read({"version"}).ok());
}

TEST_F(CommandLineTest, ObserveFollowsUnlessRecentRecordsAreRequested) {
  const auto request = [](const std::vector<std::string>& words) {
    return Read(words)->observe.request;
  };
  EXPECT_TRUE(request({"observe"}).follow());
  EXPECT_FALSE(request({"observe", "--last", "5"}).follow());
  EXPECT_EQ(request({"observe", "--last", "5"}).last(), 5u);
  EXPECT_FALSE(request({"observe", "--since", "1h"}).follow());
  EXPECT_GT(request({"observe", "--since", "1h"}).last(), 1'000'000u);
  EXPECT_TRUE(request({"observe", "--since", "1h", "-f"}).follow());
  EXPECT_EQ(request({"observe", "--since", "2026-01-02T03:04:05Z"}).since_unix_ns(),
            1'767'323'045'000'000'000u);
  EXPECT_FALSE(Read({"observe", "--since", "yesterday"}).ok());
}

TEST_F(CommandLineTest, ErrorNamesTheInput) {
  const auto error = [](const std::vector<std::string>& words) {
    return std::string(Read(words).status().message());
  };
  EXPECT_EQ(error({"run", "--log-level", "loud"}),
            "--log-level: \"loud\" is not one of debug|info|warn");
  EXPECT_EQ(error({"run", "--dns-port", "1,2,3,4,5"}), "--dns-port: expected 1 to 4 ports, not 5");
  EXPECT_EQ(error({"status", "--format", "html"}),
            "--format: \"html\" is not one of table|json (see sandpiper status --help)");
  EXPECT_NE(error({"run", "--no-such-flag"}).find("--no-such-flag"), std::string::npos);
  EXPECT_NE(error({"run", "--avoid", "foo:bar"}).find("\"foo:bar\" is not a mechanism"),
            std::string::npos);
  EXPECT_NE(error({"run", "--window-s", "1", "--window-s", "2"}), "");
}

TEST_F(CommandLineTest, ConfigFlagOverridesItsVariable) {
  setenv("SANDPIPER_CONFIG", "/no/such.yaml", 1);
  EXPECT_FALSE(Read({"run"}).ok());
  EXPECT_EQ(Window({"--config", file_}, {"run"}), 3);
  unsetenv("SANDPIPER_CONFIG");
}

TEST_F(CommandLineTest, RepeatedFlagsAddToTheList) {
  const auto run = Read({"run", "--cgroup", "/a", "--cgroup", "/b", "--dns-port", "53,54",
                         "--dns-port", "55", "--spool", ""});
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->config.cgroups, (std::vector<std::string>{"/a", "/b"}));
  EXPECT_EQ(run->config.probes.dns_ports, (std::vector<uint16_t>{53, 54, 55}));
  EXPECT_EQ(run->config.spool.path, "");
}

TEST_F(CommandLineTest, ExecIdIsTheNameOfTheCommand) {
  const auto line = Read({"exec", "--", "/usr/bin/curl", "-v"});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(line->exec.id, "curl");
  EXPECT_EQ(line->exec.command, (std::vector<std::string>{"/usr/bin/curl", "-v"}));
  EXPECT_EQ(Read({"exec", "--id", "x", "--", "true"})->exec.id, "x");
}

}  // namespace
}  // namespace sandpiper
