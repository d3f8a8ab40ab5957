// SPDX-License-Identifier: Apache-2.0
#include "userspace/sandbox/given_resolvers.h"

#include <gtest/gtest.h>

#include <map>

#include "userspace/base/clock.h"

namespace sandpiper {
namespace {

constexpr uint64_t kStarted = 100 * kSecond;

std::map<pid_t, ResolvConf> files;
int reads = 0;

ResolvConf ReadFake(pid_t pid) {
  ++reads;
  return files[pid];
}

Address Server(uint8_t last) { return Address::FromIpv4({10, 0, 0, last}); }

class GivenResolversTest : public ::testing::Test {
 protected:
  GivenResolversTest() {
    reads = 0;
    files = {{7, {"nameserver 10.0.0.1\n", kStarted}}};
  }
  bool IsGiven(uint8_t last, pid_t pid, pid_t parent = 0) {
    return resolvers_.Contains(Server(last), pid, parent, now_ += 2 * kSecond);
  }

  uint64_t now_ = 0;
  GivenResolvers resolvers_{kStarted, ReadFake};
};

TEST_F(GivenResolversTest, ServerOfTheFileIsGiven) {
  EXPECT_TRUE(IsGiven(1, 7));
  EXPECT_FALSE(IsGiven(2, 7));
  EXPECT_TRUE(IsGiven(1, 99));  // known by now
}

TEST_F(GivenResolversTest, FileThatChangedAfterTheStartGivesNone) {
  files[7] = {"nameserver 10.0.0.2\n", kStarted + 1};
  EXPECT_FALSE(IsGiven(2, 7));
  // An unchanged file of another mount namespace counts.
  files[8] = {"nameserver 10.0.0.3\n", kStarted - 1};
  EXPECT_TRUE(IsGiven(3, 8));
}

TEST_F(GivenResolversTest, ParentStandsInForAProcessThatEnded) {
  EXPECT_TRUE(IsGiven(1, 5, 7));
  files[6] = {"nameserver 10.0.0.9\n", kStarted + 1};
  EXPECT_FALSE(IsGiven(9, 6, 7));
}

TEST_F(GivenResolversTest, UnknownServersCauseOneReadASecond) {
  for (uint8_t i = 10; i < 250; ++i)
    EXPECT_FALSE(resolvers_.Contains(Server(i), 7, 0, kSecond + i));
  EXPECT_EQ(reads, 1);
}

TEST(ParseResolvConf, ReadsNameserverLines) {
  const std::vector<Address> servers = ParseResolvConf(
      "# nameserver 10.0.0.9\nsearch a.test\nnameserver 10.0.0.1\nnameserver\t10.0.0.2 # x\n"
      "nameserver fe80::1%eth0\nnameserverx 10.0.0.9\nnameserver\nnameserver host\n"
      " nameserver 10.0.0.9\nnameserver 10.0.0.3");
  std::vector<std::string> texts;
  for (const Address& server : servers)
    texts.push_back(server.ToString());
  EXPECT_EQ(texts, (std::vector<std::string>{"10.0.0.1", "10.0.0.2", "fe80::1", "10.0.0.3"}));
}

}  // namespace
}  // namespace sandpiper
