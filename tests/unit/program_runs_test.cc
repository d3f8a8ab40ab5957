// SPDX-License-Identifier: Apache-2.0
#include "userspace/probe/program_runs.h"

#include <gtest/gtest.h>

namespace sandpiper {
namespace {

TEST(ProgramRuns, RecoveredRunsAreNotMissed) {
  const auto program = [](const char* name, uint64_t missed) {
    return ProgramRuns{.probe = "process", .program = name, .missed = missed};
  };
  std::vector<ProgramRuns> programs = {program("handle_exec", 7), program("handle_exit", 3),
                                       program("handle_fork", 0), program("backup_exec", 2),
                                       program("handle_tcp_state", 1)};
  SubtractRecoveredRuns({{"exec", 6}, {"exit", 0}, {"fork", 1}}, &programs);
  std::vector<uint64_t> missed;
  for (const ProgramRuns& p : programs)
    missed.push_back(p.missed);
  // A run of handle_fork was recovered between the two readings.
  EXPECT_EQ(missed, (std::vector<uint64_t>{1, 3, 0, 0, 1}));
}

TEST(ProgramRuns, NewMissedRunsAreReportedOnce) {
  std::vector<ProgramRuns> programs = {{.probe = "process", .program = "handle_exec", .missed = 2},
                                       {.probe = "device", .program = "handle_frame", .missed = 1},
                                       {.probe = "device", .program = "handle_frame", .missed = 1}};
  std::map<std::string, uint64_t> reported;
  EXPECT_EQ(
      NewlyMissed(programs, &reported),
      (std::vector<std::string>{MissedText("handle_exec", 2), MissedText("handle_frame", 2)}));
  EXPECT_TRUE(NewlyMissed(programs, &reported).empty());
  programs[0].missed = 5;
  EXPECT_EQ(NewlyMissed(programs, &reported),
            std::vector<std::string>{MissedText("handle_exec", 3)});
}

}  // namespace
}  // namespace sandpiper
