// SPDX-License-Identifier: Apache-2.0
#include "userspace/runtime/engine_replies.h"

#include <gtest/gtest.h>

#include "userspace/runtime/oci_bundle.h"

namespace sandpiper {
namespace {

TEST(EngineReplies, VersionNamesTheEngine) {
  EXPECT_EQ(*EngineName(R"({"Components":[{"Name":"Engine"}]})"), "docker");
  EXPECT_EQ(*EngineName(R"({"Components":[{"Name":"Podman Engine"}]})"), "podman");
  EXPECT_EQ(*EngineName("[]"), "docker");
  EXPECT_FALSE(EngineName("{").ok());
}

TEST(EngineReplies, InspectGivesACompleteContainer) {
  const auto container = ContainerOfInspect(
      R"({"Id":"ab","Name":"/box","Config":{"Image":"i","Labels":{"k":"v"},"Env":["A=1","odd","B="]},
                                                "HostConfig":{"NetworkMode":"container:cd"}})");
  ASSERT_TRUE(container.ok());
  EXPECT_EQ(container->id, "ab");
  EXPECT_EQ(container->name, "box");
  EXPECT_EQ(container->labels, (Container::Texts{{"k", "v"}}));
  EXPECT_EQ(container->environment, (Container::Texts{{"A", "1"}, {"B", ""}}));
  EXPECT_EQ(container->network_of, "cd");
  EXPECT_TRUE(container->complete);
  EXPECT_EQ(ContainerOfInspect(R"({"Id":5,"Config":[],"HostConfig":{"NetworkMode":{}}})")->id, "");
}

TEST(EngineReplies, ListsAndEventsGiveIncompleteContainers) {
  const auto list = ContainersOfList(
      R"([{"Id":"a","Names":["/x"],"Labels":{"k":"v"}},{"Names":[]},7,{"Id":"b","Names":[]}])");
  ASSERT_TRUE(list.ok());
  ASSERT_EQ(list->size(), 2u);
  EXPECT_EQ((*list)[0].name, "x");
  EXPECT_FALSE((*list)[0].complete);
  EXPECT_FALSE(ContainersOfList("{}").ok());
  EXPECT_EQ(
      ContainerOfEvent(R"({"Actor":{"ID":"a","Attributes":{"name":"n","image":"i"}}})")->image,
      "i");
  EXPECT_FALSE(ContainerOfEvent("{}"));
  EXPECT_FALSE(ContainerOfEvent("nonsense"));
}

// An answer may be 64 MiB long: a recursive parser would overflow the stack.
TEST(EngineReplies, DeepNestingDoesNotOverflowTheStack) {
  for (const char* opening : {"[", R"({"a":)"}) {
    std::string deep;
    for (int i = 0; i < 1'000'000; ++i)
      deep += opening;
    EXPECT_FALSE(EngineName(deep).ok());
    EXPECT_FALSE(ContainersOfList(deep).ok());
    EXPECT_FALSE(ContainerOfEvent(deep));
    EXPECT_FALSE(ParseBundle("id", deep));
  }
}

}  // namespace
}  // namespace sandpiper
