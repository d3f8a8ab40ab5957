// SPDX-License-Identifier: Apache-2.0
// Tests the exporter with an endpoint that does not answer and a spool on disk: no record is lost,
// and each problem is reported once.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <random>
#include <thread>

#include "tests/unit/fake_endpoint.h"
#include "userspace/export/log_exporter.h"

namespace sandpiper {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

constexpr auto kLong = std::chrono::seconds(60);

class OutageTest : public ::testing::Test {
 protected:
  OutageTest() : folder_(::testing::TempDir() + "outage" + std::to_string(getpid())) {
    fs::remove_all(folder_);
  }
  ~OutageTest() override { fs::remove_all(folder_); }

  std::unique_ptr<LogExporter> Start(LogExporter::Options options = {.queue_max = 200,
                                                                     .batch_max = 50,
                                                                     .delay = milliseconds(5)},
                                     uint64_t spool_bytes = 64 << 20) {
    auto spool = std::make_unique<Spool>(
        Spool::Options{.path = folder_ + "/spool.db", .bytes_max = spool_bytes});
    [[maybe_unused]] const absl::Status status = spool->Open();
    return std::make_unique<LogExporter>(std::make_unique<FakeTransport>(&endpoint_),
                                         std::vector<Attribute>{}, options, std::move(spool),
                                         [this](const std::string& problem) {
                                           const std::lock_guard lock(problems_mutex_);
                                           problems_.push_back(problem);
                                         });
  }
  // The number of reported problems that contain this text.
  ptrdiff_t Told(const std::string& part) {
    const std::lock_guard lock(problems_mutex_);
    return std::count_if(problems_.begin(), problems_.end(), [&](const auto& problem) {
      return problem.find(part) != std::string::npos;
    });
  }
  // Waits for room in the queue, which these tests do not test.
  void Push(LogExporter* exporter, const std::vector<std::string>& bodies) {
    for (const std::string& body : bodies) {
      for (uint64_t full = exporter->counts().dropped_queue_full;;
           full = exporter->counts().dropped_queue_full) {
        exporter->Push(std::make_shared<const LogRecord>(LogRecord{.event = "e", .body = body}));
        if (exporter->counts().dropped_queue_full == full)
          break;
        std::this_thread::sleep_for(milliseconds(1));
      }
    }
  }
  static ExportCounts Finish(LogExporter* exporter) {
    exporter->BeginFlush();
    exporter->FinishFlush(std::chrono::steady_clock::now() + kLong);
    return exporter->counts();
  }
  // From now on the endpoint accepts all requests. Returns them.
  void Recover() {
    endpoint_.answer = [this](const std::string& request) {
      const auto bodies = Bodies(request);
      taken_.insert(taken_.end(), bodies.begin(), bodies.end());
      return Answer(SendResult::kSent);
    };
  }

  std::string folder_;
  Endpoint endpoint_;
  std::mutex problems_mutex_;
  std::vector<std::string> problems_, taken_;
};

TEST_F(OutageTest, NextRunSendsSpoolOldestFirst) {
  endpoint_.answer = [](const std::string&) { return Answer(SendResult::kRetry); };
  for (int run = 0; run < 3; ++run) {
    auto exporter = Start();
    Push(exporter.get(), Numbers(1000, 1000 * run));
    EXPECT_EQ(Finish(exporter.get()).dropped_at_exit, 0u);
    EXPECT_GT(exporter->stored()->bytes, 0u);
    EXPECT_GT(exporter->stored()->oldest_unix_ns, 0u);
    EXPECT_EQ(Told("log records cannot be sent: no; they are kept on disk"), run + 1);
  }
  Recover();
  auto exporter = Start();
  while (exporter->stored()->bytes > 0)
    std::this_thread::sleep_for(milliseconds(1));
  Push(exporter.get(), Numbers(10, 3000));
  EXPECT_EQ(Finish(exporter.get()).sent, 3010u);
  std::vector<std::string> sorted = taken_;
  std::sort(sorted.begin(), sorted.end(),
            [](const auto& a, const auto& b) { return std::stoi(a) < std::stoi(b); });
  EXPECT_EQ(sorted, Numbers(3010));
  // In order, except for the request that was being sent while others went to disk.
  EXPECT_LT(std::stoi(taken_[0]), 200);
  EXPECT_EQ(taken_.back(), "3009");
}

TEST_F(OutageTest, RepeatedOutagesLoseNothing) {
  std::minstd_rand random(3);
  endpoint_.answer = [&](const std::string& request) {
    switch (random() % 4) {
      case 0:
        return Answer(SendResult::kRetry);
      case 1:  // too large for the endpoint; so are its parts
        if (Bodies(request).size() > 20)
          return Answer(SendResult::kSplit);
        break;
      default:
        break;
    }
    const auto bodies = Bodies(request);
    taken_.insert(taken_.end(), bodies.begin(), bodies.end());
    return Answer(SendResult::kSent);
  };
  auto exporter = Start();
  Push(exporter.get(), Numbers(5000));
  EXPECT_EQ(Finish(exporter.get()).dropped_at_exit, 0u);
  exporter.reset();
  Recover();
  exporter = Start();
  while (exporter->stored()->bytes > 0)
    std::this_thread::sleep_for(milliseconds(1));
  Finish(exporter.get());
  std::sort(taken_.begin(), taken_.end(),
            [](const auto& a, const auto& b) { return std::stoi(a) < std::stoi(b); });
  EXPECT_EQ(taken_, Numbers(5000));
}

// The endpoint hangs: the queue goes to disk meanwhile, and the shutdown does not wait for it.
TEST_F(OutageTest, HangingEndpointLosesNothing) {
  std::mutex mutex;
  std::condition_variable ended;
  bool cancelled = false;
  endpoint_.answer = [&](const std::string&) {
    std::unique_lock lock(mutex);
    ended.wait(lock, [&] { return cancelled; });
    return Answer(SendResult::kRetry);
  };
  endpoint_.cancel = [&] {
    const std::lock_guard lock(mutex);
    cancelled = true;
    ended.notify_all();
  };
  auto exporter = Start();
  Push(exporter.get(), Numbers(2000));
  exporter->BeginFlush();
  exporter->FinishFlush(std::chrono::steady_clock::now() + milliseconds(300));
  EXPECT_EQ(exporter->counts().dropped_at_exit, 0u);
  exporter.reset();
  Recover();
  exporter = Start();
  while (exporter->stored()->bytes > 0)
    std::this_thread::sleep_for(milliseconds(1));
  EXPECT_EQ(Finish(exporter.get()).sent, 2000u);
}

TEST_F(OutageTest, WriteFirstStoresBeforeSending) {
  std::unique_ptr<LogExporter> exporter;
  uint64_t asked = 0;
  endpoint_.answer = [&](const std::string&) {
    ++asked;
    EXPECT_GT(exporter->stored()->bytes, 0u);
    return Answer(SendResult::kSent);
  };
  exporter =
      Start({.queue_max = 2000, .batch_max = 50, .delay = milliseconds(5), .write_first = true});
  Push(exporter.get(), Numbers(1000));
  const ExportCounts counts = Finish(exporter.get());
  EXPECT_EQ(counts.sent, 1000u);
  EXPECT_GT(asked, 0u);
  EXPECT_EQ(exporter->stored()->bytes, 0u);
}

// Records that are on disk before they are sent leave in their order: a killed run leaves no gap.
TEST_F(OutageTest, WriteFirstKeepsOrder) {
  endpoint_.answer = [this](const std::string& request) {
    const auto bodies = Bodies(request);
    taken_.insert(taken_.end(), bodies.begin(), bodies.end());
    return Answer(SendResult::kSent);
  };
  auto exporter =
      Start({.queue_max = 40, .batch_max = 5, .delay = milliseconds(1), .write_first = true});
  Push(exporter.get(), Numbers(10'000));
  EXPECT_EQ(Finish(exporter.get()).sent, 10'000u);
  EXPECT_EQ(taken_, Numbers(10'000));
}

// The spool cannot be created: records stay in memory, this is reported once, and sending goes on.
TEST_F(OutageTest, FailingDiskKeepsRecordsInMemory) {
  std::ofstream(folder_) << "a file where the folder should be";
  std::atomic<bool> away = true;
  std::atomic<int> asked = 0;
  endpoint_.answer = [&](const std::string&) {
    ++asked;
    return Answer(away ? SendResult::kRetry : SendResult::kSent);
  };
  auto exporter = Start({.queue_max = 500, .batch_max = 50, .delay = milliseconds(5)});
  for (const std::string& body : Numbers(550))
    exporter->Push(std::make_shared<const LogRecord>(LogRecord{.event = "e", .body = body}));
  while (asked < 20)
    std::this_thread::sleep_for(milliseconds(1));
  EXPECT_EQ(Told("kept in memory"), 1);
  fs::remove(folder_);
  while (exporter->stored()->bytes == 0)
    std::this_thread::sleep_for(milliseconds(1));
  EXPECT_EQ(Told("the spool works again"), 1);
  away = false;
  while (exporter->stored()->bytes > 0)
    std::this_thread::sleep_for(milliseconds(1));
  const ExportCounts counts = Finish(exporter.get());
  EXPECT_EQ(counts.sent + counts.dropped_queue_full, 550u);
  EXPECT_GE(counts.sent, 500u);
}

TEST_F(OutageTest, RecordsWithoutRoomOnDiskAreCounted) {
  endpoint_.answer = [](const std::string&) { return Answer(SendResult::kRetry); };
  auto exporter = Start({.queue_max = 200, .batch_max = 50, .delay = milliseconds(5)}, 20'000);
  Push(exporter.get(), Numbers(5000));
  const ExportCounts away = Finish(exporter.get());
  EXPECT_GT(away.dropped_spool_full, 0u);
  EXPECT_LE(exporter->stored()->bytes, 20'000u);
  exporter.reset();
  Recover();
  exporter = Start();
  while (exporter->stored()->bytes > 0)
    std::this_thread::sleep_for(milliseconds(1));
  EXPECT_EQ(Finish(exporter.get()).sent + away.dropped_spool_full, 5000u);
  EXPECT_EQ(taken_.back(), "4999") << "the newest are what is kept";
}

}  // namespace
}  // namespace sandpiper
