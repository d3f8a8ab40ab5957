// SPDX-License-Identifier: Apache-2.0
#include "userspace/ruleset/opensandbox_policy.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

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

TEST(OpenSandboxPolicy, ErrorNamesTheFaultWithoutTheText) {
  for (const char* text :
       {"{", "[]", "7", R"({"defaultAction":"secret"})", R"({"egress":"secret"})",
        R"({"egress":["secret"]})", R"({"egress":[{"action":"secret","target":"x"}]})",
        R"({"egress":[{"action":"allow","target":7}]})"}) {
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
  Environment("OPENSANDBOX_EGRESS_POLICY_FILE=/etc/policy\0"s);
  EXPECT_FALSE(ReadOpenSandboxPolicy(7, proc_));
  Environment("OPENSANDBOX_EGRESS_POLICY_FILE=../../../outside\0"s);
  EXPECT_FALSE(ReadOpenSandboxPolicy(7, proc_));
}

TEST_F(ReadPolicyTest, NulloptWithoutAPolicy) {
  EXPECT_FALSE(ReadOpenSandboxPolicy(8, proc_));
  Environment("OPENSANDBOX_EGRESS_RULESET=x");
  EXPECT_FALSE(ReadOpenSandboxPolicy(7, proc_));
}

}  // namespace
}  // namespace sandpiper
