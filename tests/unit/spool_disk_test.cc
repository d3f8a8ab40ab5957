// SPDX-License-Identifier: Apache-2.0
// Tests the spool on a disk that fails or loses its power.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <random>

#include "tests/unit/simulated_disk.h"
#include "userspace/base/clock.h"
#include "userspace/export/spool.h"

namespace sandpiper {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kNow = 1'000'000 * kSecond;

std::string Entry(int i) {
  return std::to_string(i) + std::string(static_cast<size_t>(i % 7) * 700, '.');
}

class SpoolDiskTest : public ::testing::Test {
 protected:
  SpoolDiskTest()
      : folder_(::testing::TempDir() + "disk" + std::to_string(getpid())),
        after_(folder_ + "-after") {
    Clear();
  }
  ~SpoolDiskTest() override {
    SimulatedDisk::Get().fails = false;
    fs::remove_all(folder_);
    fs::remove_all(after_);
  }
  void Clear() {
    fs::remove_all(folder_);
    fs::remove_all(after_);
    fs::create_directories(after_);
  }
  static Spool::Options In(const std::string& folder) {
    return {.path = folder + "/logs.db", .bytes_max = 64 << 20, .age_max = std::chrono::hours(1)};
  }
  std::string folder_, after_;
};

TEST_F(SpoolDiskTest, IoErrorIsErrorUntilDiskWorks) {
  Spool spool(In(folder_));
  ASSERT_TRUE(spool.Append({"one", 1}, kNow).ok());
  SimulatedDisk::Get().fails = true;
  const absl::Status status = spool.Append({"two", 1}, kNow);
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.message().find("disk I/O error"), std::string::npos) << status;
  EXPECT_NE(status.message().find("logs.db"), std::string::npos) << status;
  SimulatedDisk::Get().fails = false;
  ASSERT_TRUE(spool.Append({"three", 1}, kNow).ok());
  auto entry = spool.Front(kNow);
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->request.bytes, "one");
  spool.Remove(entry->id);
  entry = spool.Front(kNow);
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->request.bytes, "three");
  EXPECT_EQ(spool.counts().corrupt, 0u);
}

TEST_F(SpoolDiskTest, DiskThatFailsAtOpenWorksLater) {
  SimulatedDisk::Get().fails = true;
  Spool spool(In(folder_));
  EXPECT_FALSE(spool.Open().ok());
  EXPECT_FALSE(spool.Append({"one", 1}, kNow).ok());
  EXPECT_FALSE(spool.Front(kNow));
  SimulatedDisk::Get().fails = false;
  ASSERT_TRUE(spool.Append({"two", 1}, kNow).ok());
  EXPECT_EQ(spool.Front(kNow)->request.bytes, "two");
}

// The operations of the spool that had returned when the power failed.
struct Done {
  int appended = 0, removed = 0;
};

Done Read(int fd) {
  Done done;
  for (char what; read(fd, &what, 1) == 1;)
    ++(what == 'a' ? done.appended : done.removed);
  return done;
}

[[noreturn]] void Use(const Spool::Options& options, int told) {
  Spool spool(options);
  const auto tell = [told](char what) {
    if (write(told, &what, 1) != 1)
      _exit(2);
  };
  int appended = 0, removed = 0;
  while (spool.Append({Entry(appended), 1}, kNow).ok()) {
    ++appended;
    tell('a');
    // Two requests are added for each that is removed, and sometimes all are removed. So the file
    // grows, and is cleared too.
    while (removed < appended / 2 || (appended % 20 == 0 && removed < appended)) {
      const auto entry = spool.Front(kNow);
      if (!entry)
        _exit(3);
      spool.Remove(entry->id);
      ++removed;
      tell('r');
    }
  }
  _exit(4);
}

// Each request of a finished Append is there, whole and without a gap. Each request of a finished
// Remove is not.
TEST_F(SpoolDiskTest, SurvivesPowerLossAtAnyMoment) {
  std::mt19937 random(1);
  int recovered = 0;
  for (int round = 0; round < 200; ++round) {
    Clear();
    int told[2];
    ASSERT_EQ(pipe(told), 0);
    const pid_t child = fork();
    if (child == 0) {
      SimulatedDisk& disk = SimulatedDisk::Get();
      disk.afterwards = after_;
      disk.seed = static_cast<uint32_t>(round);
      disk.power = 1 + static_cast<int>(random() % 600);
      Use(In(folder_), told[1]);
    }
    random();
    close(told[1]);
    const Done done = Read(told[0]);
    close(told[0]);
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;

    Spool spool(In(after_));
    const absl::Status opened = spool.Open();
    ASSERT_TRUE(opened.ok()) << opened;
    std::vector<std::string> there;
    while (const auto entry = spool.Front(kNow)) {
      there.push_back(entry->request.bytes);
      spool.Remove(entry->id);
    }
    ASSERT_EQ(spool.counts().corrupt, 0u) << round;
    const int first = there.empty() ? done.appended : std::stoi(there[0]);
    const int last = first + static_cast<int>(there.size());
    for (int i = first; i < last; ++i)
      ASSERT_EQ(there[static_cast<size_t>(i - first)], Entry(i)) << round;
    // One more of each may have finished than was reported.
    ASSERT_TRUE(last == done.appended || last == done.appended + 1) << round;
    ASSERT_TRUE(first == done.removed || first == done.removed + 1) << round;
    recovered += static_cast<int>(there.size());
  }
  EXPECT_GT(recovered, 200);
}

}  // namespace
}  // namespace sandpiper
