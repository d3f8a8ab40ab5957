// SPDX-License-Identifier: Apache-2.0
#include "userspace/base/diagnostics.h"

#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

namespace sandpiper {
namespace {

class DiagnosticsTest : public testing::Test {
 protected:
  Diagnostics Make(const DiagnosticOptions& options) {
    return Diagnostics(&stream_, options, [this] { return now_; });
  }
  // The lines so far without their 30 characters of time.
  std::vector<std::string> Lines() {
    std::vector<std::string> out;
    std::istringstream in(stream_.str());
    for (std::string line; std::getline(in, line);)
      out.push_back(line.substr(std::min<size_t>(line.size(), 31)));
    return out;
  }

  std::ostringstream stream_;
  std::chrono::steady_clock::time_point now_{};
};

TEST_F(DiagnosticsTest, TextLineHasTimeLevelAndMessage) {
  Diagnostics log = Make({});
  log.Write(DiagnosticLevel::kWarn, "a", "the endpoint does not answer");
  const std::string line = stream_.str();
  ASSERT_GT(line.size(), 31u);
  EXPECT_EQ(line[10], 'T');
  EXPECT_EQ(line[29], 'Z');
  EXPECT_EQ(line.substr(31), "warn sandpiper: the endpoint does not answer\n");
}

TEST_F(DiagnosticsTest, JsonLineIsQuoted) {
  Diagnostics log = Make({.format = DiagnosticFormat::kJson});
  log.Write(DiagnosticLevel::kError, "a", "no file \"a\\b\"");
  EXPECT_NE(stream_.str().find(R"(,"level":"error","msg":"no file \"a\\b\""})"), std::string::npos)
      << stream_.str();
  EXPECT_EQ(stream_.str().rfind("{\"ts\":\"", 0), 0u);
}

TEST_F(DiagnosticsTest, MessageStaysOnOneLine) {
  Diagnostics log = Make({});
  log.Write(DiagnosticLevel::kInfo, "a", "one\ntwo \x1b[31m\\x");
  EXPECT_EQ(Lines(), std::vector<std::string>{"info sandpiper: one\\x0atwo \\x1b[31m\\x"});
}

TEST_F(DiagnosticsTest, DebugNeedsVerbose) {
  Diagnostics log = Make({});
  log.Write(DiagnosticLevel::kDebug, "a", "hidden");
  EXPECT_EQ(stream_.str(), "");
  log.Configure({.verbose = true});
  log.Write(DiagnosticLevel::kDebug, "a", "shown");
  EXPECT_EQ(Lines(), std::vector<std::string>{"debug sandpiper: shown"});
}

TEST_F(DiagnosticsTest, MessagesOverTheLimitAreCounted) {
  Diagnostics log = Make({});
  for (int i = 0; i < kDiagnosticBurst + 7; ++i)
    log.Write(DiagnosticLevel::kWarn, "noisy", "again");
  EXPECT_EQ(Lines().size(), static_cast<size_t>(kDiagnosticBurst));
  now_ += kDiagnosticRefill;
  log.Write(DiagnosticLevel::kWarn, "noisy", "later");
  const std::vector<std::string> lines = Lines();
  ASSERT_EQ(lines.size(), static_cast<size_t>(kDiagnosticBurst) + 2);
  EXPECT_EQ(lines[kDiagnosticBurst],
            "warn sandpiper: 7 messages from noisy were suppressed by the rate limit");
  EXPECT_EQ(lines.back(), "warn sandpiper: later");
}

TEST_F(DiagnosticsTest, NoisySourceDoesNotSilenceAnother) {
  Diagnostics log = Make({});
  for (int i = 0; i < kDiagnosticBurst + 1; ++i)
    log.Write(DiagnosticLevel::kWarn, "noisy", "again");
  log.Write(DiagnosticLevel::kWarn, "quiet", "only once");
  EXPECT_EQ(Lines().back(), "warn sandpiper: only once");
}

TEST_F(DiagnosticsTest, FlushReportsSuppressedMessagesOnce) {
  Diagnostics log = Make({});
  for (int i = 0; i < kDiagnosticBurst + 2; ++i)
    log.Write(DiagnosticLevel::kWarn, "noisy", "again");
  log.Flush();
  log.Flush();
  const std::vector<std::string> lines = Lines();
  ASSERT_EQ(lines.size(), static_cast<size_t>(kDiagnosticBurst) + 1);
  EXPECT_EQ(lines.back(),
            "warn sandpiper: 2 messages from noisy were suppressed by the rate limit");
}

TEST_F(DiagnosticsTest, DebugMessagesThatAreHiddenUseNoAllowance) {
  Diagnostics log = Make({});
  for (int i = 0; i < 2 * kDiagnosticBurst; ++i)
    log.Write(DiagnosticLevel::kDebug, "a", "hidden");
  log.Write(DiagnosticLevel::kWarn, "a", "shown");
  EXPECT_EQ(Lines(), std::vector<std::string>{"warn sandpiper: shown"});
}

}  // namespace
}  // namespace sandpiper
