// SPDX-License-Identifier: Apache-2.0
// A capture is worked off as it came, whole or cut anywhere, and what is none is refused.
#include "userspace/capture/replay.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <iterator>

#include "bpf/events.h"
#include "userspace/base/clock.h"
#include "userspace/capture/capture_writer.h"

namespace sandpiper {
namespace {

constexpr uint64_t kBorn = 1'000 * kSecond;

class ReplayTest : public ::testing::Test {
 protected:
  void TearDown() override { unlink(path_.c_str()); }

  std::unique_ptr<CaptureWriter> Create(uint64_t bytes_max = 1 << 20) {
    auto writer = CaptureWriter::Create({.path = path_, .bytes_max = bytes_max}, {53},
                                        [this](const std::string& p) { problem_ = p; });
    EXPECT_TRUE(writer.ok()) << writer.status();
    return *std::move(writer);
  }
  static std::vector<std::byte> ExitRecord(uint64_t member, uint32_t pid, uint64_t time_ns) {
    exit_event e = {};
    e.header.kind = EVENT_EXIT;
    e.header.member = member;
    e.header.time_ns = time_ns;
    e.header.size = sizeof(e);
    e.process.tgid = pid;
    e.process.start_ns = 1;
    std::vector<std::byte> out(sizeof(e));
    std::memcpy(out.data(), &e, sizeof(e));
    return out;
  }
  // Two sandboxes; the second's events come before it is known whose they are, and out of order.
  void WriteTwo() {
    const auto writer = Create();
    writer->WriteSandbox({.serial = 1, .id = "one", .runtime = "cgroup"}, kBorn);
    writer->WriteMember(5, 1, kBorn, {{"sandbox.role", "app"}});
    writer->WriteRecord(ExitRecord(6, 21, kBorn + 5 * kSecond));
    writer->WriteRecord(ExitRecord(5, 11, kBorn + 3 * kSecond));
    writer->WriteRecord(ExitRecord(9, 31, kBorn + 4 * kSecond));  // of nobody
    writer->WriteSandbox({.serial = 2, .id = "two", .runtime = "cgroup"}, kBorn + kSecond);
    writer->WriteMember(6, 2, kBorn + 6 * kSecond, {});
    KernelCounts counts;
    counts.produced[EVENT_EXIT] = 4;
    counts.dropped[EVENT_EXIT] = 3;
    writer->WriteEnd(1, kBorn + 10 * kSecond, counts);
  }
  absl::StatusOr<ReplaySummary> Replay() {
    told_.clear();
    return ReplayCapture(path_, {.session = {}, .window_ns = 3600 * kSecond},
                         [this](LogRecord record) { told_.push_back(std::move(record)); });
  }
  std::vector<std::string> Events() const {
    std::vector<std::string> out;
    for (const LogRecord& record : told_)
      out.push_back(
          absl::StrCat(std::string(record.event.view()), " ",
                       std::string(std::get<SharedText>(record.attributes[1].value).view())));
    return out;
  }

  std::string path_ = ::testing::TempDir() + "capture-" + std::to_string(getpid());
  std::string problem_;
  std::vector<LogRecord> told_;
};

TEST_F(ReplayTest, InTheOrderOfTimeAndWithTheCountsOfTheKernel) {
  WriteTwo();
  const auto summary = Replay();
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(Events(),
            (std::vector<std::string>{"sandbox.started one", "sandbox.started two",
                                      "process.exit one", "process.exit two", "sandpiper.loss one",
                                      "sandbox.stopped one", "sandbox.stopped two"}));
  EXPECT_EQ(summary->records, 3u);
  EXPECT_EQ(summary->unattributed, 1u);
  EXPECT_EQ(summary->sandboxes, 2u);
  EXPECT_EQ(summary->cut, "");
  // Times are the recorded ones, not those of now.
  EXPECT_EQ(told_[2].time_unix_ns - told_[0].time_unix_ns, 3 * kSecond);
}

TEST_F(ReplayTest, CutAnywhereItTellsWhatStandsBefore) {
  WriteTwo();
  std::ifstream in(path_, std::ios::binary);
  const std::string whole{std::istreambuf_iterator<char>(in), {}};
  int cut = 0;
  for (size_t size = 0; size < whole.size(); ++size) {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << whole.substr(0, size);
    const auto summary = Replay();
    if (!summary.ok())
      EXPECT_TRUE(absl::IsInvalidArgument(summary.status())) << summary.status();
    else
      cut += !summary->cut.empty();
  }
  EXPECT_GT(cut, 50);
}

TEST_F(ReplayTest, WithBrokenBytesItEnds) {
  WriteTwo();
  std::ifstream in(path_, std::ios::binary);
  const std::string whole{std::istreambuf_iterator<char>(in), {}};
  for (size_t i = 0; i < whole.size(); ++i) {
    for (const char mask : {'\x01', '\x80', '\xff'}) {
      std::string broken = whole;
      broken[i] = static_cast<char>(broken[i] ^ mask);
      std::ofstream(path_, std::ios::binary | std::ios::trunc) << broken;
      (void)Replay().status();
    }
  }
}

TEST_F(ReplayTest, WhatIsNoCaptureIsRefused) {
  EXPECT_TRUE(absl::IsNotFound(Replay().status()));
  std::ofstream(path_) << "{\"ts\":1}\n";
  EXPECT_TRUE(absl::IsInvalidArgument(Replay().status()));
}

TEST_F(ReplayTest, AFullCaptureEndsWithAWord) {
  {
    const auto writer = Create(/*bytes_max=*/200);
    for (uint32_t i = 0; i < 100; ++i)
      writer->WriteRecord(ExitRecord(5, i, kBorn));
  }
  EXPECT_NE(problem_.find("ends here: it has its 200 bytes"), std::string::npos) << problem_;
  const auto summary = Replay();
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_GT(summary->records, 0u);
  EXPECT_EQ(summary->cut, "");
}

}  // namespace
}  // namespace sandpiper
