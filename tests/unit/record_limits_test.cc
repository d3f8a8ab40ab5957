// SPDX-License-Identifier: Apache-2.0
// Tests that records are redacted, and that oversized records are cut and counted.
#include "userspace/export/record_limits.h"

#include <gtest/gtest.h>

namespace sandpiper {
namespace {

using Texts = std::vector<std::string>;

LogRecord Exec(Texts arguments) {
  return {.event = "process.exec",
          .body = "exec curl",
          .attributes = {{"opensandbox.event", "process.exec"},
                         {"process.command_args", std::move(arguments)}}};
}

Texts Shown(const Texts& arguments, const RecordLimits::Options& options = {}) {
  const auto limits = RecordLimits::Make(options);
  EXPECT_TRUE(limits.ok()) << limits.status();
  LogRecord record = Exec(arguments);
  limits->Apply(&record);
  return std::get<Texts>(record.attributes[1].value);
}

TEST(RecordLimits, SecretsInArgumentsAreMasked) {
  const std::vector<std::pair<Texts, Texts>> cases = {
      {{"mysql", "--password", "hunter2", "-h", "db"},
       {"mysql", "--password", "*****", "-h", "db"}},
      {{"mysql", "--password=hunter2"}, {"mysql", "--password=*****"}},
      {{"tool", "--api-key=abc", "--API_KEY", "def"},
       {"tool", "--api-key=*****", "--API_KEY", "*****"}},
      {{"curl", "-H", "Authorization: Bearer abc.def"},
       {"curl", "-H", "Authorization: Bearer *****"}},
      {{"curl", "-H", "X-Auth-Token: abc", "https://a.test"},
       {"curl", "-H", "X-Auth-Token: *****", "https://a.test"}},
      {{"git", "clone", "https://me:ghp_1@git.test/a.git"},
       {"git", "clone", "https://me:*****@git.test/a.git"}},
      {{"env", "AWS_SECRET_ACCESS_KEY=x/y", "TOKEN=z", "run"},
       {"env", "AWS_SECRET_ACCESS_KEY=*****", "TOKEN=*****", "run"}},
      // Nothing to hide.
      {{"curl", "https://a.test:8080/x@y"}, {"curl", "https://a.test:8080/x@y"}},
      {{"tokenize", "--token-count", "5"}, {"tokenize", "--token-count", "5"}},
      {{"passwd"}, {"passwd"}},
      {{"tool", "--password", "--verbose"}, {"tool", "--password", "--verbose"}},
      {{""}, {""}},
      {{}, {}},
  };
  for (const auto& [arguments, shown] : cases)
    EXPECT_EQ(Shown(arguments), shown);
}

TEST(RecordLimits, CustomPatternsReplaceDefaults) {
  EXPECT_EQ(Shown({"a", "--password=x", "acme-17"}, {.argument_patterns = {"acme-[0-9]+"}}),
            (Texts{"a", "--password=x", "*****"}));
  EXPECT_EQ(Shown({"ab", "cd"}, {.argument_patterns = {"b c"}}), (Texts{"a*****", "*****d"}))
      << "across two";
  EXPECT_EQ(Shown({"xx"}, {.argument_patterns = {"x*?"}}), (Texts{"xx"})) << "an empty match ends";
  EXPECT_EQ(Shown({"abcdef"}, {.argument_patterns = {"bcd", "cde"}}), (Texts{"a*****f"}))
      << "they overlap";
  const auto bad = RecordLimits::Make({.argument_patterns = {"("}});
  EXPECT_TRUE(absl::IsInvalidArgument(bad.status()));
  EXPECT_NE(bad.status().message().find("invalid regular expression \"(\""), std::string::npos)
      << bad.status();
}

TEST(RecordLimits, HostsAreMaskedInAllTheirAttributes) {
  const auto limits =
      RecordLimits::Make({.argument_patterns = {}, .host_patterns = {R"(([a-z]+)\.corp\.test)"}});
  ASSERT_TRUE(limits.ok());
  LogRecord record = {
      .event = "egress.outbound",
      .body = "egress outbound secret.corp.test",
      .attributes = {
          {"target.host", "secret.corp.test"},
          {"rules", std::vector<Rule>{{"allow", "plan.corp.test"}, {"allow", "open.test"}}},
          {"process.command_args", Texts{"curl", "https://secret.corp.test/"}},
          {"process.executable.path", "/secret.corp.test"}}};
  limits->Apply(&record);
  EXPECT_EQ(record.body, "egress outbound *****.corp.test");
  EXPECT_EQ(std::get<SharedText>(record.attributes[0].value), "*****.corp.test");
  EXPECT_EQ(std::get<std::vector<Rule>>(record.attributes[1].value),
            (std::vector<Rule>{{"allow", "*****.corp.test"}, {"allow", "open.test"}}));
  EXPECT_EQ(std::get<Texts>(record.attributes[2].value)[1], "https://*****.corp.test/");
  EXPECT_EQ(std::get<SharedText>(record.attributes[3].value), "/secret.corp.test");
}

TEST(RecordLimits, TextLimitCountsCharactersNotBytes) {
  EXPECT_EQ(Shown({"abc", "äöü", "äö", ""}, {.argument_patterns = {}, .characters_max = 2}),
            (Texts{"ab", "äö", "äö", ""}));
}

TEST(RecordLimits, AttributesOverLimitAreDroppedAndCounted) {
  const auto limits = RecordLimits::Make({.attributes_max = 1});
  LogRecord record = Exec({"a"});
  limits->Apply(&record);
  ASSERT_EQ(record.attributes.size(), 1u);
  EXPECT_EQ(record.attributes[0].key, "opensandbox.event");
  EXPECT_EQ(record.dropped_attributes, 1u);
}

TEST(RecordLimits, LargestAttributeIsDroppedFirst) {
  const auto limits = RecordLimits::Make({.bytes_max = 1000});
  LogRecord record = Exec({std::string(600, 'a'), std::string(600, 'b')});
  record.attributes.emplace_back(Attribute("small", "kept"));
  limits->Apply(&record);
  EXPECT_EQ(record.dropped_attributes, 1u);
  ASSERT_EQ(record.attributes.size(), 2u);
  EXPECT_EQ(record.attributes[1].key, "small");
}

}  // namespace
}  // namespace sandpiper
