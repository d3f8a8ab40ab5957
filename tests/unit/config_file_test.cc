// SPDX-License-Identifier: Apache-2.0
#include "userspace/config/config_file.h"

#include <gtest/gtest.h>

#include "userspace/config/config.h"

namespace sandpiper {
namespace {

std::string ErrorOf(const std::string& yaml) {
  Config config;
  return std::string(ReadConfigText("f.yaml", yaml, &config).message());
}

TEST(ConfigFile, UnknownKeyProposesSimilarKey) {
  EXPECT_EQ(ErrorOf("window_s: 5\nsandboxs: []\n"),
            "unknown key \"sandboxs\" in f.yaml:2; did you mean \"sandboxes\"?");
  EXPECT_EQ(ErrorOf("windows: 5\n"),
            "unknown key \"windows\" in f.yaml:1; did you mean \"window_s\"?");
  EXPECT_EQ(ErrorOf("sandboxes: [{lable: a}]\n"),
            "unknown key \"lable\" of sandboxes in f.yaml:1; did you mean \"label\"?");
}

TEST(ConfigFile, UnknownKeyWithoutSimilarKeyListsAllKeys) {
  const std::string error = ErrorOf("no_such_key: 1\n");
  EXPECT_EQ(error.find("unknown key \"no_such_key\" in f.yaml:1; known keys: all_containers, "), 0u)
      << error;
  EXPECT_EQ(ErrorOf("sandboxes: [{colour: a}]\n"),
            "unknown key \"colour\" of sandboxes in f.yaml:1; known keys: annotation, cgroup, "
            "container, environment, id, label, labels, namespace, role, unit");
}

TEST(ConfigFile, ErrorNamesKeyAndLine) {
  const std::string rule_keys =
      "a rule takes exactly one of label, annotation, environment, cgroup, unit, container";
  const std::pair<const char*, std::string> cases[] = {
      {"window_s: 0", "window_s in f.yaml:1: \"0\" is not between 1 and 86400"},
      {"\n\nwindow_s: [1]", "window_s in f.yaml:3: expected one value"},
      {"window_s:", "window_s in f.yaml:1: expected one value"},
      {"cgroup: {a: b}", "cgroup in f.yaml:1: expected a list of texts"},
      {"sandboxes: [{role: app}]", "sandboxes in f.yaml:1: " + rule_keys},
      {"sandboxes: [{label: a,\n unit: b}]", "sandboxes: unit in f.yaml:2: " + rule_keys},
      {"sandboxes: [{label: a, role: b}]",
       "sandboxes: role in f.yaml:1: \"b\" is not one of app|sidecar"},
      {"sandboxes: [{container: all}]", "sandboxes: container in f.yaml:1: \"all\" is not any"},
      {"sandboxes: 5", "sandboxes in f.yaml:1: expected a list"},
      {"runtimes: [{api: cri}]", "runtimes in f.yaml:1: a runtime needs the keys api and socket"},
      {"- 1", "configuration in f.yaml:1: expected a mapping of keys to values"},
  };
  for (const auto& [yaml, error] : cases)
    EXPECT_EQ(ErrorOf(yaml), error);
  EXPECT_EQ(ErrorOf("a: [1\n").find("invalid YAML in f.yaml:2: "), 0u) << ErrorOf("a: [1\n");
}

TEST(ConfigFile, ReadsRulesAndRuntimes) {
  Config config;
  ASSERT_TRUE(ReadConfigText("f.yaml",
                             "sandboxes:\n"
                             "- {label: a/b, namespace: n, labels: {x: y}, id: pod}\n"
                             "- {cgroup: '^/x/(?<id>.+)$', role: sidecar}\n"
                             "runtimes: [{api: docker, socket: /s}]\n",
                             &config)
                  .ok());
  ASSERT_EQ(config.rules->size(), 2u);
  const SelectionRule& first = config.rules->at(0);
  EXPECT_EQ(first.by, SelectionRule::By::kLabel);
  EXPECT_EQ(first.key, "a/b");
  EXPECT_EQ(first.name_space, "n");
  EXPECT_EQ(first.labels.at("x"), "y");
  EXPECT_TRUE(first.id_is_pod);
  EXPECT_EQ(first.role, Role::kApp);
  EXPECT_EQ(config.rules->at(1).role, Role::kSidecar);
  ASSERT_EQ(config.sockets->size(), 1u);
  EXPECT_EQ(config.sockets->at(0).api, RuntimeSocket::Api::kEngine);
  EXPECT_EQ(config.sockets->at(0).path, "/s");
}

TEST(ConfigFile, ListTakesOneTextOrManyEntries) {
  Config config;
  ASSERT_TRUE(ReadConfigText("f.yaml",
                             "cgroup: /a\ndns_port: [53, 5353]\nredact_arguments: []\n"
                             "sidecar_containers: [one, two]\n",
                             &config)
                  .ok());
  EXPECT_EQ(config.cgroups, std::vector<std::string>{"/a"});
  EXPECT_EQ(config.probes.dns_ports, (std::vector<uint16_t>{53, 5353}));
  EXPECT_TRUE(config.redact_arguments.empty());
  EXPECT_EQ(config.discovery.sidecars, (std::set<std::string>{"one", "two"}));
  EXPECT_EQ(config.file.at("cgroup"), "/a");
}

TEST(ConfigFile, EmptyFileChangesNothing) {
  Config config;
  EXPECT_TRUE(ReadConfigText("f.yaml", "", &config).ok());
  EXPECT_TRUE(config.file.empty());
  EXPECT_EQ(ReadConfigFile("/no/such.yaml", &config).message(), "/no/such.yaml cannot be read");
}

}  // namespace
}  // namespace sandpiper
