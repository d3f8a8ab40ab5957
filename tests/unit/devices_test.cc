// SPDX-License-Identifier: Apache-2.0
#include "userspace/attribution/devices.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace sandpiper {
namespace {

class DevicesTest : public ::testing::Test {
 protected:
  absl::StatusOr<NamespaceLinks> Open(const std::string& path) {
    if (path == "/none")
      return absl::NotFoundError("opening the network namespace /none");
    return NamespaceLinks{.changes = [this]() -> absl::StatusOr<std::vector<LinkChange>> {
                            if (!read_error_.ok())
                              return read_error_;
                            return std::exchange(changes_, {});
                          },
                          .run_inside =
                              [this](const std::function<void()>& work) {
                                if (enter_error_.ok())
                                  work();
                                return enter_error_;
                              },
                          .fd = 42};
  }
  using Log = std::vector<std::string>;

  std::vector<LinkChange> changes_;  // since the last reading
  absl::Status read_error_;
  absl::Status enter_error_;
  bool can_watch_ = true;
  Log log_;
  Log warnings_;
  uint64_t next_number_ = 1;
  Devices devices_{[this](const std::string& id, const LinkChange& link) {
                     log_.push_back(absl::StrCat("+", id, "=", link.name));
                     return can_watch_ ? next_number_++ : 0;
                   },
                   [this](uint64_t number) { log_.push_back(absl::StrCat("-", number)); },
                   [this](const std::string& warning) { warnings_.push_back(warning); },
                   [this](const std::string& path) { return Open(path); }};
};

TEST_F(DevicesTest, ExistingDeviceIsAddedAtOnce) {
  changes_ = {{.ifindex = 3, .name = "tap0"}, {.ifindex = 4, .name = "eth0"}};
  ASSERT_TRUE(devices_.Watch({.name = "tap0"}).ok());
  EXPECT_EQ(log_, Log{"+tap0=tap0"});
}

TEST_F(DevicesTest, LaterDeviceIsAddedByPoll) {
  ASSERT_TRUE(devices_.Watch({.name = "tap*", .id = "vm"}).ok());
  changes_ = {{.ifindex = 3, .name = "tap0"}};
  devices_.Poll();
  EXPECT_EQ(log_, Log{"+vm=tap0"});
}

TEST_F(DevicesTest, RemovedDeviceIsReportedOnce) {
  changes_ = {{.ifindex = 3, .name = "tap0"}};
  ASSERT_TRUE(devices_.Watch({.name = "tap0"}).ok());
  changes_ = {{.ifindex = 3, .name = "tap0", .removed = true}};
  devices_.Poll();
  changes_ = {{.ifindex = 3, .name = "tap0", .removed = true}};
  devices_.Poll();
  EXPECT_EQ(log_, (Log{"+tap0=tap0", "-1"}));
}

TEST_F(DevicesTest, RemovalOfAnotherDeviceIsIgnored) {
  ASSERT_TRUE(devices_.Watch({.name = "tap0"}).ok());
  changes_ = {{.ifindex = 9, .name = "eth0", .removed = true}};
  devices_.Poll();
  EXPECT_EQ(log_, Log{});
}

TEST_F(DevicesTest, DeviceThatReturnsHasANewNumber) {
  changes_ = {{.ifindex = 3, .name = "tap0"},
              {.ifindex = 3, .name = "tap0", .removed = true},
              {.ifindex = 5, .name = "tap0"}};
  ASSERT_TRUE(devices_.Watch({.name = "tap0"}).ok());
  changes_ = {{.ifindex = 5, .name = "tap0", .removed = true}};
  devices_.Poll();
  EXPECT_EQ(log_, (Log{"+tap0=tap0", "-1", "+tap0=tap0", "-2"}));
}

TEST_F(DevicesTest, RenamedDeviceIsStillRemovedByItsIndex) {
  changes_ = {{.ifindex = 3, .name = "tap0"}};
  ASSERT_TRUE(devices_.Watch({.name = "tap0"}).ok());
  changes_ = {{.ifindex = 3, .name = "other", .removed = true}};
  devices_.Poll();
  EXPECT_EQ(log_.back(), "-1");
}

TEST_F(DevicesTest, DeviceThatCannotBeWatchedIsNotRemoved) {
  can_watch_ = false;
  changes_ = {{.ifindex = 3, .name = "tap0"}};
  ASSERT_TRUE(devices_.Watch({.name = "tap0"}).ok());
  changes_ = {{.ifindex = 3, .name = "tap0", .removed = true}};
  devices_.Poll();
  EXPECT_EQ(log_, Log{"+tap0=tap0"});
}

TEST_F(DevicesTest, UnknownNamespaceIsAnError) {
  EXPECT_TRUE(absl::IsNotFound(devices_.Watch({.netns = "/none", .name = "tap0"})));
  EXPECT_TRUE(devices_.event_fds().empty());
}

TEST_F(DevicesTest, FailedReadingIsAWarning) {
  ASSERT_TRUE(devices_.Watch({.name = "tap0"}).ok());
  read_error_ = absl::InternalError("netlink failed");
  devices_.Poll();
  EXPECT_EQ(warnings_, Log{"netlink failed"});
}

TEST_F(DevicesTest, NamespaceThatCannotBeEnteredIsAWarning) {
  ASSERT_TRUE(devices_.Watch({.name = "tap0"}).ok());
  enter_error_ = absl::PermissionDeniedError("setns failed");
  changes_ = {{.ifindex = 3, .name = "tap0"}};
  devices_.Poll();
  EXPECT_EQ(warnings_, Log{"setns failed"});
  EXPECT_EQ(log_, Log{});
}

TEST_F(DevicesTest, EachNamespaceHasADescriptor) {
  ASSERT_TRUE(devices_.Watch({.name = "tap0"}).ok());
  ASSERT_TRUE(devices_.Watch({.netns = "/other", .name = "tap1"}).ok());
  EXPECT_EQ(devices_.event_fds(), (std::vector<int>{42, 42}));
}

}  // namespace
}  // namespace sandpiper
