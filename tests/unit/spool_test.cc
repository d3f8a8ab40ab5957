// SPDX-License-Identifier: Apache-2.0
// Tests the spool with full, broken and replaced files.
#include "userspace/export/spool.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "userspace/base/clock.h"

namespace sandpiper {
namespace {

namespace fs = std::filesystem;

class SpoolTest : public ::testing::Test {
 protected:
  SpoolTest() : folder_(::testing::TempDir() + "spool" + std::to_string(getpid())) {
    fs::remove_all(folder_);
  }
  ~SpoolTest() override { fs::remove_all(folder_); }
  std::unique_ptr<Spool> Open(uint64_t bytes_max = 1 << 20) {
    auto spool = std::make_unique<Spool>(Spool::Options{
        .path = folder_ + "/logs.db", .bytes_max = bytes_max, .age_max = std::chrono::hours(1)});
    const absl::Status status = spool->Open();
    EXPECT_TRUE(status.ok()) << status;
    return spool;
  }
  // Removes and returns all requests, the oldest first.
  std::vector<std::string> Drain(Spool* spool) {
    std::vector<std::string> out;
    while (const auto entry = spool->Front(now_)) {
      out.push_back(entry->request.bytes);
      spool->Remove(entry->id);
    }
    return out;
  }

  std::string folder_;
  uint64_t now_ = 1'000'000 * kSecond;
};

TEST_F(SpoolTest, OrderSurvivesRestart) {
  const std::string binary("\0\xff{}\n", 5);
  {
    auto spool = Open();
    for (const std::string& bytes : {std::string("one"), binary, std::string("three")})
      ASSERT_TRUE(spool->Append({bytes, 2}, now_).ok());
    EXPECT_EQ(spool->bytes(), 13u);
  }
  auto spool = Open();
  EXPECT_EQ(spool->bytes(), 13u);
  EXPECT_EQ(spool->oldest_unix_ns(), now_);
  EXPECT_EQ(spool->Front(now_)->request.items, 2u);
  EXPECT_EQ(Drain(spool.get()), (std::vector<std::string>{"one", binary, "three"}));
  EXPECT_EQ(spool->bytes(), 0u);
  EXPECT_EQ(spool->oldest_unix_ns(), 0u);
}

TEST_F(SpoolTest, FileIsReadableByOwnerOnly) {
  auto spool = Open();
  ASSERT_TRUE(spool->Append({"x", 1}, now_).ok());
  EXPECT_EQ(fs::status(folder_ + "/logs.db").permissions() &
                (fs::perms::group_all | fs::perms::others_all),
            fs::perms::none);
}

TEST_F(SpoolTest, OldestEntriesMakeRoomAndAreCounted) {
  auto spool = Open(1000);
  for (int i = 0; i < 10; ++i)
    ASSERT_TRUE(spool->Append({std::string(300, static_cast<char>('a' + i)), 5}, now_).ok());
  EXPECT_EQ(spool->counts().full, 35u);
  EXPECT_LE(spool->bytes(), 1000u);
  const auto left = Drain(spool.get());
  ASSERT_EQ(left.size(), 3u);
  EXPECT_EQ(left[0][0], 'h');
  ASSERT_TRUE(
      spool->Append({std::string(2000, 'x'), 4}, now_).ok());  // larger than the whole spool
  EXPECT_EQ(spool->counts().full, 39u);
  EXPECT_EQ(spool->bytes(), 0u);
}

TEST_F(SpoolTest, OldEntriesAreDroppedAndCounted) {
  auto spool = Open();
  ASSERT_TRUE(spool->Append({"old", 3}, now_).ok());
  now_ += 3599 * kSecond;
  ASSERT_TRUE(spool->Append({"new", 1}, now_).ok());
  EXPECT_EQ(spool->Front(now_)->request.bytes, "old");
  now_ += 2 * kSecond;
  EXPECT_EQ(spool->Front(now_)->request.bytes, "new");
  EXPECT_EQ(spool->counts().old, 3u);
}

TEST_F(SpoolTest, SecondProcessIsRejected) {
  auto spool = Open();
  ASSERT_TRUE(spool->Append({"x", 1}, now_).ok());
  Spool second({.path = folder_ + "/logs.db"});
  const absl::Status status = second.Open();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_TRUE(absl::IsUnavailable(second.Append({"y", 1}, now_)));
  spool.reset();
  EXPECT_TRUE(second.Append({"y", 1}, now_).ok()) << "it is free now";
}

// Files may not grow, as on a full disk.
class FullDisk {
 public:
  FullDisk() {
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit none = {.rlim_cur = 0, .rlim_max = before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &none);
  }
  ~FullDisk() { setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_;
};

TEST_F(SpoolTest, FullDiskIsErrorUntilItHasRoom) {
  auto spool = Open();
  ASSERT_TRUE(spool->Append({"one", 1}, now_).ok());
  ASSERT_TRUE(spool->Append({"two", 1}, now_).ok());
  {
    const FullDisk full;
    EXPECT_FALSE(spool->Append({std::string(10'000, 'x'), 1}, now_).ok());
    EXPECT_EQ(spool->bytes(), 6u);
    const auto first = spool->Front(now_);
    ASSERT_TRUE(first);
    EXPECT_EQ(first->request.bytes, "one");
    spool->Remove(first->id);  // it stays on the full disk, but is not returned again
    EXPECT_EQ(spool->Front(now_)->request.bytes, "two");
    EXPECT_EQ(spool->bytes(), 3u);
  }
  ASSERT_TRUE(spool->Append({"three", 1}, now_).ok());
  EXPECT_EQ(Drain(spool.get()), (std::vector<std::string>{"two", "three"}));
  spool.reset();
  EXPECT_EQ(Open()->bytes(), 0u);
}

// With any byte of the file changed, it opens, and the requests that it returns are right.
TEST_F(SpoolTest, BrokenFileLosesOnlyBrokenEntries) {
  {
    auto spool = Open();
    for (int i = 0; i < 40; ++i)
      ASSERT_TRUE(
          spool->Append({"entry " + std::to_string(i) + std::string(500, 'x'), 1}, now_).ok());
  }
  std::ifstream in(folder_ + "/logs.db", std::ios::binary);
  const std::string good{std::istreambuf_iterator<char>(in), {}};
  std::mt19937 random(1);
  uint64_t lost = 0;
  for (int round = 0; round < 150; ++round) {
    std::string bad = good;
    if (round % 3 == 0)
      bad.resize(random() % bad.size());
    else
      bad[random() % bad.size()] ^= static_cast<char>(1 << (random() % 8));
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    std::ofstream(folder_ + "/logs.db", std::ios::binary) << bad;
    auto spool = Open();
    ASSERT_NE(spool, nullptr);
    size_t given = 0;
    for (int tries = 0; tries < 100; ++tries) {
      const auto entry = spool->Front(now_);
      if (!entry)
        break;
      ++given;
      ASSERT_TRUE(entry->request.bytes.starts_with("entry ") &&
                  entry->request.bytes.ends_with(std::string(500, 'x')))
          << round;
      spool->Remove(entry->id);
    }
    EXPECT_LE(given, 40u);
    lost += given < 40;
    // The change may be in an unused page. The first request that is written there finds it.
    for (int tries = 0; tries < 2 && !spool->Append({"goes on", 1}, now_).ok(); ++tries)
      EXPECT_FALSE(spool->Front(now_).has_value());
  }
  EXPECT_GT(lost, 0u);
}

// A file of another SQLite or another program is moved away as a broken one is.
TEST_F(SpoolTest, FileOfOtherFormatIsRenamed) {
  ASSERT_TRUE(Open()->Append({"one", 1}, now_).ok());
  std::ifstream in(folder_ + "/logs.db", std::ios::binary);
  const std::string good{std::istreambuf_iterator<char>(in), {}};
  const auto changed = [&good](size_t at, const std::string& to) {
    return std::string(good).replace(at, to.size(), to);
  };
  // Offsets of SQLite's database header, https://www.sqlite.org/fileformat.html 1.3; then its one
  // table without its columns.
  const size_t columns = good.find("items INTEGER");
  ASSERT_NE(columns, std::string::npos);
  for (const std::string& bad :
       {changed(18, "\x09"), changed(47, "\x09"), changed(columns, "other")}) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    std::ofstream(folder_ + "/logs.db", std::ios::binary) << bad;
    auto spool = Open();
    EXPECT_EQ(spool->counts().corrupt, 1u);
    EXPECT_TRUE(fs::exists(folder_ + "/logs.db.broken"));
    EXPECT_TRUE(spool->Append({"goes on", 1}, now_).ok());
  }
}

// After kill -9 at any moment, each request of a finished Append is there: whole, once, in order.
TEST_F(SpoolTest, SurvivesKillAtAnyMoment) {
  std::mt19937 random(2);
  for (int round = 0; round < 30; ++round) {
    fs::remove_all(folder_);
    int told[2];
    ASSERT_EQ(pipe(told), 0);
    const pid_t child = fork();
    if (child == 0) {
      Spool spool({.path = folder_ + "/logs.db"});
      for (int i = 0;; ++i) {
        if (!spool.Append({std::to_string(i) + std::string(2000, '.'), 1}, now_).ok() ||
            write(told[1], "x", 1) != 1)
          _exit(1);
      }
    }
    close(told[1]);
    char byte;
    size_t returned = 0;
    const size_t enough = 1 + random() % 200;
    while (returned < enough && read(told[0], &byte, 1) == 1)
      ++returned;
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    while (read(told[0], &byte, 1) == 1)
      ++returned;
    close(told[0]);
    auto spool = Open(64 << 20);
    const auto there = Drain(spool.get());
    EXPECT_GE(there.size(), returned);
    EXPECT_LE(there.size(), returned + 1);
    for (size_t i = 0; i < there.size(); ++i)
      EXPECT_EQ(there[i], std::to_string(i) + std::string(2000, '.'));
  }
}

}  // namespace
}  // namespace sandpiper
