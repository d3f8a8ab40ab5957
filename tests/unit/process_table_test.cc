// SPDX-License-Identifier: Apache-2.0
#include "userspace/correlate/process_table.h"

#include <gtest/gtest.h>

#include "userspace/base/clock.h"

namespace sandpiper {
namespace {

TEST(ProcessTable, ChildHasThePathOfItsParentUntilExec) {
  ProcessTable table(10);
  table.OnExec({.process = {10, 100}, .parent = {1, 1}, .comm = "sh", .path = "/bin/sh"}, 100);
  table.OnFork({.process = {11, 200}, .parent = {10, 100}, .comm = "sh"}, 200);
  EXPECT_EQ(table.Find({11, 200})->path, "/bin/sh");
  EXPECT_EQ(table.Find({11, 200})->exec_ns, 0u);
  table.OnExec({.process = {11, 200}, .parent = {10, 100}, .comm = "ls", .path = "/bin/ls"}, 300);
  EXPECT_EQ(table.Ancestors(*table.Find({11, 200})), std::vector<SharedText>{"/bin/sh"});
}

TEST(ProcessTable, ReusedPidIsAnotherProcess) {
  ProcessTable table(10);
  table.OnExec({.process = {10, 100}, .parent = {}, .path = "/old"}, 100);
  EXPECT_EQ(table.Find({10, 101 * kSecond}), nullptr);
  table.OnExec({.process = {10, 101 * kSecond}, .parent = {}, .path = "/new"}, 200);
  EXPECT_EQ(table.Find({10, 100})->path, "/old");
}

TEST(ProcessTable, ExistingProcessIsFoundByItsExactStartTime) {
  ProcessTable table(10);
  table.AddExisting({.process = {10, 120 * kMillisecond}, .parent = {}, .path = "/bin/x"});
  const ProcessKey exact = {10, 127 * kMillisecond};
  EXPECT_EQ(table.Find(exact)->path, "/bin/x");
  EXPECT_EQ(table.Find({10, 131 * kMillisecond}), nullptr);
  const Process& ended = table.OnExit({.process = exact, .status = 0}, kSecond);
  EXPECT_EQ(ended.path, "/bin/x");
  EXPECT_EQ(ended.key, exact);
  EXPECT_EQ(table.All().size(), 1u);
}

TEST(ProcessTable, DurationStartsWithTheMoveIntoTheSandbox) {
  ProcessTable table(10);
  table.OnFork({.process = {10, 100}, .parent = {}, .comm = "in", .entered = true}, 500);
  EXPECT_EQ(table.OnExit({.process = {10, 100}, .status = 0}, 800).duration_ns(), 300u);
  table.OnFork({.process = {11, 600}, .parent = {}, .comm = "forked"}, 600);
  table.OnFork({.process = {11, 600}, .parent = {}, .comm = "moved within", .entered = true}, 700);
  EXPECT_EQ(table.OnExit({.process = {11, 600}, .status = 0}, 800).duration_ns(), 200u);
}

TEST(ProcessTable, DropsDeadProcessOnSecondScan) {
  ProcessTable table(10);
  table.OnExec({.process = {10, 100}, .parent = {}, .path = "/dead"}, 100);
  table.OnExec({.process = {11, 100}, .parent = {}, .path = "/late"}, 100);
  table.OnExec({.process = {12, 100}, .parent = {}, .path = "/alive"}, 100);
  const auto is_alive = [](const ProcessKey& key) { return key.pid == 12; };
  table.DropDead(is_alive);
  EXPECT_EQ(table.All().size(), 3u);
  table.OnExit({.process = {11, 100}, .status = 0}, 200);  // its exit event was still queued
  table.DropDead(is_alive);
  EXPECT_EQ(table.Find({10, 100}), nullptr);
  EXPECT_EQ(table.Find({11, 100})->path, "/late");
  EXPECT_EQ(table.Find({12, 100})->path, "/alive");
  EXPECT_EQ(table.dropped(), 1u);
}

// The pid is still in the index of rounded start times, but its process was dropped.
TEST(ProcessTable, DroppedExistingProcessIsNotFound) {
  ProcessTable table(1);
  const ProcessKey exact = {10, 120 * kMillisecond};
  table.AddExisting({.process = exact, .parent = {}, .path = "/bin/x"});
  table.OnExit({.process = exact, .status = 0}, kSecond);
  table.OnExit({.process = {11, 1}, .status = 0}, kSecond);
  EXPECT_EQ(table.Find({10, 121 * kMillisecond}), nullptr);
}

TEST(ProcessTable, OldestExitedProcessIsDroppedOverTheLimit) {
  ProcessTable table(3);
  for (uint32_t pid = 1; pid <= 5; ++pid)
    table.OnExit({.process = {pid, pid}, .status = 0}, pid);
  EXPECT_EQ(table.All().size(), 3u);
  EXPECT_EQ(table.dropped(), 2u);
  EXPECT_EQ(table.Find({2, 2}), nullptr);
  EXPECT_NE(table.Find({3, 3}), nullptr);
}

TEST(ProcessTable, ExitCarriesStatusTimeAndOomKill) {
  ProcessTable table(10);
  const Process& process =
      table.OnExit({.origin = 4, .process = {10, 100}, .status = 9, .oom_killed = true}, 800);
  EXPECT_EQ(process.origin, 4u);
  EXPECT_EQ(process.status, 9u);
  EXPECT_TRUE(process.oom_killed);
  EXPECT_EQ(process.exited_ns, 800u);
  EXPECT_FALSE(table.OnExit({.process = {11, 100}, .status = 0}, 801).oom_killed);
}

TEST(ProcessTable, ExitWithoutOriginKeepsTheOrigin) {
  ProcessTable table(10);
  table.OnFork({.origin = 4, .process = {10, 100}, .parent = {}, .comm = "sh"}, 100);
  EXPECT_EQ(table.OnExit({.process = {10, 100}, .status = 0}, 800).origin, 4u);
}

TEST(ProcessTable, AncestorsAreAtMostEightAndEndAtALoop) {
  ProcessTable table(10);
  for (uint32_t pid = 1; pid < 40; ++pid)
    table.OnExec({.process = {pid, pid}, .parent = {pid - 1, pid - 1}, .path = "/p"}, pid);
  EXPECT_EQ(table.Ancestors(*table.Find({39, 39})).size(), 8u);
  table.OnExec({.process = {50, 50}, .parent = {50, 50}, .path = "/self"}, 50);
  EXPECT_EQ(table.Ancestors(*table.Find({50, 50})).size(), 1u);
}

}  // namespace
}  // namespace sandpiper
