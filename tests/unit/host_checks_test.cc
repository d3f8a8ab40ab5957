// SPDX-License-Identifier: Apache-2.0
#include "userspace/command/host_checks.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

namespace sandpiper {
namespace {

class HostChecks : public ::testing::Test {
 protected:
  std::string Write(const std::string& text) {
    const std::string path = ::testing::TempDir() + "host" + std::to_string(getpid());
    std::ofstream(path) << text;
    return path;
  }
};

TEST_F(HostChecks, LockdownOfConfidentialityIsOff) {
  EXPECT_EQ(CheckLockdown(Write("[none] integrity confidentiality\n")).found, "none");
  const Finding integrity = CheckLockdown(Write("none [integrity] confidentiality\n"));
  EXPECT_EQ(integrity.found, "integrity");
  EXPECT_EQ(integrity.state, "on");
  EXPECT_EQ(CheckLockdown(Write("none integrity [confidentiality]\n")).state, "off");
  for (const char* odd : {"", "]none[", "none"})
    EXPECT_EQ(CheckLockdown(Write(odd)).found, "not known") << odd;
  EXPECT_NE(CheckLockdown("/no/such/file").reason.find("/no/such/file"), std::string::npos);
}

TEST_F(HostChecks, MissingCapabilityIsOffOrDegraded) {
  EXPECT_EQ(CheckCapabilities(Write("Name:\tx\nCapEff:\t000001ffffffffff\n")).state, "on");
  // CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN.
  const Finding least = CheckCapabilities(Write("CapEff:\t000000c000001000\n"));
  EXPECT_EQ(least.state, "degraded");
  EXPECT_NE(least.reason.find("no CAP_SYS_ADMIN for reading rules"), std::string::npos)
      << least.reason;
  EXPECT_EQ(least.reason.find("CAP_BPF"), std::string::npos) << least.reason;
  // CAP_SYS_ADMIN and CAP_NET_ADMIN, as on kernels without CAP_BPF.
  const Finding old = CheckCapabilities(Write("CapEff:\t0000000000201000\n"));
  EXPECT_EQ(old.state, "degraded");
  EXPECT_EQ(old.reason.find("CAP_BPF"), std::string::npos) << old.reason;
  EXPECT_EQ(CheckCapabilities(Write("CapEff:\t0000000000001000\n")).state, "off");
  EXPECT_EQ(CheckCapabilities(Write("CapEff:\tnonsense\n")).state, "off");
}

TEST_F(HostChecks, CgroupsOfVersion1AreOff) {
  const std::string v2 = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
                    v1 = "31 23 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
  EXPECT_EQ(CheckCgroups(Write(v2)).found, "/sys/fs/cgroup (unified)");
  EXPECT_EQ(CheckCgroups(Write(v1 + v2)).found, "/sys/fs/cgroup (hybrid)");
  EXPECT_EQ(CheckCgroups(Write(v1)).state, "off");
}

TEST_F(HostChecks, UnreachableEndpointIsOff) {
  Config config;
  config.otel.logs.otlp = OtlpEndpoint{.target = "http://user:se@cret@127.0.0.1:1/v1/logs"};
  const auto findings = CheckEndpoints(config);
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(findings[0].found, "http://*****@127.0.0.1:1/v1/logs");
  EXPECT_EQ(findings[0].state, "off");
  EXPECT_FALSE(findings[0].reason.empty());
}

}  // namespace
}  // namespace sandpiper
