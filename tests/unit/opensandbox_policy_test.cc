// SPDX-License-Identifier: Apache-2.0
#include "userspace/ruleset/opensandbox_policy.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>

namespace sandpiper {
namespace {

namespace fs = std::filesystem;

TEST(OpenSandboxPolicy, KeepsTheOrderOfRules) {
  const auto policy = ParseOpenSandboxPolicy(
      R"({"defaultAction":"allow","egress":[{"action":"deny","target":"*.evil.test"},{"action":"allow","target":"10.0.0.0/8"}]})");
  ASSERT_TRUE(policy.ok()) << policy.status();
  EXPECT_FALSE(policy->default_deny);
  EXPECT_EQ(policy->rules, (std::vector<Rule>{{"deny", "*.evil.test"}, {"allow", "10.0.0.0/8"}}));
}

TEST(OpenSandboxPolicy, EmptyPolicyDeniesAll) {
  for (const char* text : {"", " \n", "{}", "null", R"({"egress":[]})", R"({"egress":null})"}) {
    const auto policy = ParseOpenSandboxPolicy(text);
    ASSERT_TRUE(policy.ok()) << text;
    EXPECT_TRUE(policy->default_deny && policy->rules.empty()) << text;
  }
}

// What the sidecar's own parser accepts.
TEST(OpenSandboxPolicy, AcceptsWhatTheSidecarAccepts) {
  const auto policy = ParseOpenSandboxPolicy(
      R"({"DefaultAction":" Deny ","EGRESS":[{"Action":"ALLOW","target":" Example.com "},)"
      R"({"action":"","target":"x.test"},{"action":null,"target":"y.test"},{"target":"z.test"}]})");
  ASSERT_TRUE(policy.ok()) << policy.status();
  EXPECT_TRUE(policy->default_deny);
  EXPECT_EQ(
      policy->rules,
      (std::vector<Rule>{
          {"allow", "Example.com"}, {"deny", "x.test"}, {"deny", "y.test"}, {"deny", "z.test"}}));
}

TEST(OpenSandboxPolicy, DefaultIsAllowOnlyIfItSaysSo) {
  for (const auto& [action, deny] : std::map<std::string, bool>{{"allow", false},
                                                                {" Allow", false},
                                                                {"ALLOW\\n", false},
                                                                {"deny", true},
                                                                {"maybe", true},
                                                                {"", true},
                                                                {"allowed", true}}) {
    const auto policy = ParseOpenSandboxPolicy(R"({"defaultAction":")" + action + R"("})");
    ASSERT_TRUE(policy.ok()) << action;
    EXPECT_EQ(policy->default_deny, deny) << action;
  }
}

TEST(OpenSandboxPolicy, LastOfTwoEqualKeysCounts) {
  const auto policy = ParseOpenSandboxPolicy(R"({"defaultAction":"deny","defaultaction":"allow"})");
  ASSERT_TRUE(policy.ok());
  EXPECT_FALSE(policy->default_deny);
}

TEST(OpenSandboxPolicy, ErrorNamesTheFaultWithoutTheText) {
  for (const char* text :
       {"{", "[]", "7", "{} secret", R"({"defaultAction":["secret"]})", R"({"egress":"secret"})",
        R"({"egress":["secret"]})", R"({"egress":[{"action":"secret","target":"x"}]})",
        R"({"egress":[{"action":"allow","target":7}]})", R"({"egress":[{"action":"allow"}]})",
        R"({"egress":[null]})"}) {
    const auto policy = ParseOpenSandboxPolicy(text);
    EXPECT_FALSE(policy.ok()) << text;
    EXPECT_EQ(std::string(policy.status().message()).find("secret"), std::string::npos)
        << policy.status();
  }
  EXPECT_FALSE(ParseOpenSandboxPolicy(std::string(100'000, '[')).ok()) << "no stack is that deep";
}

class ReadPolicyTest : public ::testing::Test {
 protected:
  ReadPolicyTest() : proc_(fs::path(::testing::TempDir()) / "proc") {
    fs::remove_all(proc_);
    fs::create_directories(proc_ / "7/root/etc");
  }
  void Environment(const std::string& text) {
    std::ofstream(proc_ / "7/environ", std::ios::binary) << text;
  }

  fs::path proc_;
};

TEST_F(ReadPolicyTest, PrefersTheFileToTheVariable) {
  using std::string_literals::operator""s;
  Environment(
      "A=1\0OPENSANDBOX_EGRESS_RULES={\"defaultAction\":\"allow\"}\0OPENSANDBOX_EGRESS_POLICY_FILE=/etc/policy\0"s);
  auto policy = ReadOpenSandboxPolicy(7, proc_);
  ASSERT_TRUE(policy && policy->rules.ok());
  EXPECT_EQ(policy->source, "environment");
  std::ofstream(proc_ / "7/root/etc/policy")
      << R"({"egress":[{"action":"allow","target":"a.test"}]})";
  policy = ReadOpenSandboxPolicy(7, proc_);
  ASSERT_TRUE(policy && policy->rules.ok());
  EXPECT_EQ(policy->source, "file");
  EXPECT_EQ(policy->rules->rules, (std::vector<Rule>{{"allow", "a.test"}}));
}

TEST_F(ReadPolicyTest, LinksStayInsideTheRoot) {
  using std::string_literals::operator""s;
  const fs::path outside = fs::path(::testing::TempDir()) / "outside";
  std::ofstream(outside) << R"({"egress":[{"action":"allow","target":"of-the-host"}]})";
  fs::create_symlink(outside, proc_ / "7/root/etc/policy");
  for (const std::string path : {"/etc/policy", "../../../outside"}) {
    Environment("OPENSANDBOX_EGRESS_POLICY_FILE=" + path + "\0"s);
    const auto policy = ReadOpenSandboxPolicy(7, proc_);
    ASSERT_TRUE(policy && policy->rules.ok());
    EXPECT_EQ(policy->source, "default");
    EXPECT_TRUE(policy->rules->rules.empty());
  }
}

TEST_F(ReadPolicyTest, RelativePathBeginsAtTheWorkingDirectory) {
  using std::string_literals::operator""s;
  fs::create_symlink("/etc", proc_ / "7/cwd");
  std::ofstream(proc_ / "7/root/etc/policy")
      << R"({"egress":[{"action":"allow","target":"a.test"}]})";
  Environment("OPENSANDBOX_EGRESS_POLICY_FILE=policy\0"s);
  const auto policy = ReadOpenSandboxPolicy(7, proc_);
  ASSERT_TRUE(policy && policy->rules.ok());
  EXPECT_EQ(policy->source, "file");
  EXPECT_EQ(policy->file, "/etc/policy");
}

TEST_F(ReadPolicyTest, UnreadableFileIsAnErrorAndNotTheVariable) {
  using std::string_literals::operator""s;
  fs::create_directories(proc_ / "7/root/etc/policy");
  Environment("OPENSANDBOX_EGRESS_POLICY_FILE=/etc/policy\0OPENSANDBOX_EGRESS_RULES={}\0"s);
  const auto policy = ReadOpenSandboxPolicy(7, proc_);
  ASSERT_TRUE(policy);
  EXPECT_EQ(policy->source, "file");
  EXPECT_FALSE(policy->rules.ok());
}

TEST_F(ReadPolicyTest, UnparsableFileIsIgnoredAsTheSidecarDoes) {
  using std::string_literals::operator""s;
  std::ofstream(proc_ / "7/root/etc/policy") << "oops";
  Environment("OPENSANDBOX_EGRESS_POLICY_FILE=/etc/policy\0OPENSANDBOX_EGRESS_RULES={}\0"s);
  const auto policy = ReadOpenSandboxPolicy(7, proc_);
  ASSERT_TRUE(policy);
  EXPECT_EQ(policy->source, "environment");
}

TEST_F(ReadPolicyTest, WithoutAPolicyTheSidecarDeniesAll) {
  using std::string_literals::operator""s;
  for (const std::string& environment :
       {"PATH=/bin\0"s, "OPENSANDBOX_EGRESS_RULESET=x\0"s, "OPENSANDBOX_EGRESS_RULES=\0"s}) {
    Environment(environment);
    const auto policy = ReadOpenSandboxPolicy(7, proc_);
    ASSERT_TRUE(policy && policy->rules.ok());
    EXPECT_EQ(policy->source, "default");
    EXPECT_TRUE(policy->rules->default_deny && policy->rules->rules.empty());
    EXPECT_EQ(policy->has_settings, environment.starts_with("OPENSANDBOX"));
  }
}

TEST_F(ReadPolicyTest, NulloptForAProcessThatHasExited) {
  EXPECT_FALSE(ReadOpenSandboxPolicy(8, proc_));
  Environment("");
  EXPECT_FALSE(ReadOpenSandboxPolicy(7, proc_));
}

TEST(OpenSandboxProgram, IsKnownByItsName) {
  EXPECT_TRUE(IsOpenSandboxEgress("/opt/opensandbox-egress/egress"));
  EXPECT_TRUE(IsOpenSandboxEgress("/egress"));
  EXPECT_TRUE(IsOpenSandboxEgress("/usr/local/bin/egress"));
  EXPECT_FALSE(IsOpenSandboxEgress("/opt/opensandbox-egress/supervisor"));
  EXPECT_FALSE(IsOpenSandboxEgress("/egress/nft"));
}

}  // namespace
}  // namespace sandpiper
