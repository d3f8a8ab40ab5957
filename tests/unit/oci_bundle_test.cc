// SPDX-License-Identifier: Apache-2.0
#include "userspace/runtime/oci_bundle.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace sandpiper {
namespace {

const std::string kId(64, 'b');

TEST(OciBundle, ReadsContainerdAnnotations) {
  const auto container =
      ParseBundle(kId, R"({"annotations": {"io.kubernetes.cri.container-type": "container",
      "io.kubernetes.cri.container-name": "app", "io.kubernetes.cri.sandbox-name": "pod", "io.kubernetes.cri.sandbox-namespace": "ns",
      "io.kubernetes.cri.sandbox-uid": "u-1", "io.kubernetes.cri.image-name": "img"}, "process": {"env": ["OPENSANDBOX_ID=sb", "BAD"]}})");
  ASSERT_TRUE(container);
  EXPECT_FALSE(container->complete);
  EXPECT_EQ(container->name, "app");
  EXPECT_EQ(container->pod.name, "pod");
  EXPECT_EQ(container->pod.name_space, "ns");
  EXPECT_EQ(container->pod.uid, "u-1");
  EXPECT_EQ(container->image, "img");
  EXPECT_EQ(container->runtime, "containerd");
  EXPECT_EQ(container->environment.at("OPENSANDBOX_ID"), "sb");
  EXPECT_FALSE(container->pause);
}

TEST(OciBundle, FindsThePauseContainer) {
  EXPECT_TRUE(
      ParseBundle(kId, R"({"annotations": {"io.kubernetes.cri.container-type": "sandbox"}})")
          ->pause);
  EXPECT_TRUE(
      ParseBundle(kId, R"({"annotations": {"io.kubernetes.cri-o.ContainerType": "sandbox"}})")
          ->pause);
}

TEST(OciBundle, InvalidConfigIsNoContainer) {
  for (const char* text : {"", "{", "[]", "7", "{\"annotations\": 5, \"process\": []}",
                           "{\"annotations\": {\"a\": 5}, \"process\": {\"env\": {}}}"}) {
    const auto container = ParseBundle(kId, text);
    EXPECT_TRUE(!container || container->name.empty()) << text;
  }
}

TEST(OciBundle, FindsConfigInEitherPlace) {
  const std::string root = ::testing::TempDir() + "/bundles";
  std::filesystem::remove_all(root);
  std::filesystem::create_directories(root + "/run/k8s.io/" + kId);
  std::ofstream(root + "/run/k8s.io/" + kId + "/config.json")
      << R"({"annotations": {"io.kubernetes.cri.container-name": "one"}})";
  const std::string other(64, 'c');
  std::filesystem::create_directories(root + "/var/" + other + "/userdata");
  std::ofstream(root + "/var/" + other + "/userdata/config.json")
      << R"({"annotations": {"io.kubernetes.container.name": "two"}})";
  EXPECT_EQ(FindBundle(kId, {"/var", "/run/*"}, root)->name, "one");
  EXPECT_EQ(FindBundle(other, {"/var", "/run/*"}, root)->name, "two");
  EXPECT_FALSE(FindBundle(std::string(64, 'd'), {"/var", "/run/*"}, root));
  // Ids that would leave the folder or match other ids.
  for (const char* id : {"", "../x", "*", "a/b"})
    EXPECT_FALSE(FindBundle(id, {"/var", "/run/*"}, root)) << id;
  std::filesystem::remove_all(root);
}

}  // namespace
}  // namespace sandpiper
