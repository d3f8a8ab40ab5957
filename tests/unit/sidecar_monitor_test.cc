// SPDX-License-Identifier: Apache-2.0
#include "userspace/session/sidecar_monitor.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/unit/session_fixture.h"

namespace sandpiper {
namespace {

using testing::Get;

namespace fs = std::filesystem;
using std::string_literals::operator""s;

class SidecarMonitorTest : public testing::SessionPartTest {
 protected:
  SidecarMonitorTest() : proc_(fs::path(::testing::TempDir()) / "sidecar-proc") {
    fs::remove_all(proc_);
  }
  // Gives a process its environment.
  void Environment(uint32_t pid, const std::string& text) {
    const fs::path process = proc_ / std::to_string(pid);
    fs::create_directories(process / "root");
    std::ofstream(process / "environ", std::ios::binary) << text;
  }
  void Exec(uint32_t pid, const std::string& path) {
    monitor_.OnProgram({.key = {.pid = pid}, .path = path, .exec_ns = now_}, now_);
  }
  void FindRunning(uint32_t pid, const std::string& path) {
    monitor_.OnProgram({.key = {.pid = pid}, .path = path, .exec_ns = 0}, now_);
  }
  void Expire() {
    now_ += 2 * kSecond;
    monitor_.ExpireDue(now_);
  }
  std::vector<std::string> Sources() const {
    std::vector<std::string> out;
    for (const LogRecord& record : records_.Of("egress.loaded"))
      out.push_back(Get(record, "rules.source"));
    return out;
  }

  fs::path proc_;
  SidecarMonitor monitor_{&context_, proc_};
};

constexpr char kEgress[] = "/opt/opensandbox-egress/egress";
const std::string kRules = "OPENSANDBOX_EGRESS_RULES={\"defaultAction\":\"allow\"}\0"s;

TEST_F(SidecarMonitorTest, ProgramWithTheNameIsReportedAtItsStart) {
  Environment(7, kRules);
  Exec(7, kEgress);
  ASSERT_EQ(Sources(), std::vector<std::string>{"environment"});
  const LogRecord& record = records_.all()[0];
  EXPECT_EQ(Get(record, "egress.default"), "allow");
  EXPECT_EQ(Get(record, "sandbox.role"), "sidecar");
  EXPECT_EQ(Get(record, "process.executable.path"), kEgress);
  ASSERT_TRUE(monitor_.policy());
  EXPECT_FALSE(monitor_.policy()->default_deny);
}

TEST_F(SidecarMonitorTest, ProgramThatRunsAlreadyIsReportedOnce) {
  Environment(7, kRules);
  FindRunning(7, kEgress);
  FindRunning(7, kEgress);
  EXPECT_EQ(Sources().size(), 1u);
}

TEST_F(SidecarMonitorTest, StartThatWasReadBeforeItsEventIsReportedOnce) {
  Environment(7, kRules);
  FindRunning(7, kEgress);
  now_ -= 1;
  Exec(7, kEgress);
  EXPECT_EQ(Sources().size(), 1u);
}

TEST_F(SidecarMonitorTest, EachRestartIsReported) {
  Environment(7, kRules);
  Environment(8, kRules);
  Exec(7, kEgress);
  monitor_.OnExit({.pid = 7});
  EXPECT_FALSE(monitor_.policy());
  now_ += kSecond;
  Exec(8, kEgress);
  EXPECT_EQ(Sources().size(), 2u);
}

TEST_F(SidecarMonitorTest, SidecarWithoutAPolicyDeniesAll) {
  Environment(7, "PATH=/bin\0"s);
  Exec(7, kEgress);
  EXPECT_EQ(Sources(), std::vector<std::string>{"default"});
  EXPECT_EQ(Get(records_.all()[0], "egress.default"), "deny");
}

TEST_F(SidecarMonitorTest, InvalidPolicyIsAWarning) {
  Environment(7, "OPENSANDBOX_EGRESS_RULES=oops\0"s);
  Exec(7, kEgress);
  ASSERT_EQ(records_.all().size(), 1u);
  EXPECT_EQ(records_.all()[0].severity, Severity::kWarn);
  EXPECT_EQ(Get(records_.all()[0], "egress.default"), "");
  EXPECT_FALSE(monitor_.policy());
}

TEST_F(SidecarMonitorTest, ProgramsThatStartTheSidecarAreNotReported) {
  Environment(6, kRules);
  Environment(7, kRules);
  Environment(8, kRules);
  Exec(6, "/opt/opensandbox-egress/supervisor");
  Exec(7, kEgress);
  Exec(8, "/usr/sbin/nft");
  Expire();
  ASSERT_EQ(Sources().size(), 1u);
  EXPECT_EQ(Get(records_.all()[0], "process.executable.path"), kEgress);
}

TEST_F(SidecarMonitorTest, ProgramWithAnotherNameIsReportedIfItRunsOn) {
  Environment(7, kRules);
  Exec(7, "/usr/bin/my-proxy");
  EXPECT_EQ(monitor_.NextDeadline(), now_ + 2 * kSecond);
  EXPECT_TRUE(records_.all().empty());
  Expire();
  EXPECT_EQ(Sources(), std::vector<std::string>{"environment"});
  Expire();
  EXPECT_EQ(Sources().size(), 1u);
}

TEST_F(SidecarMonitorTest, ProgramWithAnotherNameThatEndsSoonIsNotReported) {
  Environment(7, kRules);
  Exec(7, "/bin/sh");
  monitor_.OnExit({.pid = 7});
  Expire();
  EXPECT_TRUE(records_.all().empty());
}

TEST_F(SidecarMonitorTest, OtherProgramsOfTheSidecarAreNotReported) {
  Environment(7, "PATH=/bin\0"s);
  Exec(7, "/usr/bin/envoy");
  Expire();
  EXPECT_TRUE(records_.all().empty());
}

}  // namespace
}  // namespace sandpiper
