// SPDX-License-Identifier: Apache-2.0
#include "userspace/capture/replay.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <iterator>

#include "bpf/events.h"
#include "tests/unit/session_fixture.h"
#include "userspace/base/clock.h"
#include "userspace/capture/capture_format.h"
#include "userspace/capture/capture_reader.h"
#include "userspace/capture/capture_writer.h"

namespace sandpiper {
namespace {

using testing::Get;

constexpr uint64_t kStarted = 1'000 * kSecond;

class ReplayTest : public ::testing::Test {
 protected:
  void TearDown() override { unlink(path_.c_str()); }

  std::unique_ptr<CaptureWriter> Create(uint64_t bytes_max = 1 << 20) {
    auto writer = CaptureWriter::Create({.path = path_, .bytes_max = bytes_max}, {53},
                                        [this](const std::string& w) { warnings_.push_back(w); });
    EXPECT_TRUE(writer.ok()) << writer.status();
    return *std::move(writer);
  }
  template <typename Struct>
  static std::vector<std::byte> BytesOf(Struct e, uint16_t kind, uint64_t member,
                                        uint64_t time_ns) {
    e.header.kind = kind;
    e.header.member = member;
    e.header.time_ns = time_ns;
    e.header.size = sizeof(e);
    std::vector<std::byte> out(sizeof(e));
    std::memcpy(out.data(), &e, sizeof(e));
    return out;
  }
  static std::vector<std::byte> ExitRecord(uint64_t member, uint32_t pid, uint64_t time_ns) {
    exit_event e = {};
    e.process.tgid = pid;
    e.process.start_ns = 1;
    return BytesOf(e, EVENT_EXIT, member, time_ns);
  }
  // The records are not in the order of their time. Those of the second sandbox come before the
  // entry of their member.
  void WriteTwoSandboxes() {
    const auto writer = Create();
    writer->WriteSandbox({.serial = 1, .id = "one", .runtime = "cgroup"}, kStarted);
    writer->WriteMember(5, 1, kStarted, {{"sandbox.role", "app"}});
    writer->WriteRecord(ExitRecord(6, 21, kStarted + 5 * kSecond));
    writer->WriteRecord(ExitRecord(5, 11, kStarted + 3 * kSecond));
    writer->WriteRecord(ExitRecord(9, 31, kStarted + 4 * kSecond));  // member 9 has no sandbox
    writer->WriteSandbox({.serial = 2, .id = "two", .runtime = "cgroup"}, kStarted + kSecond);
    writer->WriteMember(6, 2, kStarted + 6 * kSecond, {});
    KernelCounts counts;
    counts.produced[EVENT_EXIT] = 4;
    counts.dropped[EVENT_EXIT] = 3;
    writer->WriteEnd(1, kStarted + 10 * kSecond, counts);
  }
  std::string ReadFile() const {
    std::ifstream in(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void WriteFile(const std::string& content) const {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << content;
  }
  absl::StatusOr<ReplaySummary> Replay(uint64_t window_ns = 3600 * kSecond) {
    records_.clear();
    return ReplayCapture(path_, {.session = {}, .window_ns = window_ns},
                         [this](LogRecord record) { records_.push_back(std::move(record)); });
  }
  // "EVENT SANDBOX" of each record.
  std::vector<std::string> Events() const {
    std::vector<std::string> out;
    for (const LogRecord& record : records_)
      out.push_back(std::string(record.event.view()) + " " + Get(record, "sandbox_id"));
    return out;
  }

  std::string path_ = ::testing::TempDir() + "capture-" + std::to_string(getpid());
  std::vector<std::string> warnings_;
  std::vector<LogRecord> records_;
};

TEST_F(ReplayTest, EventsAreInOrderOfTimeWithCapturedCounts) {
  WriteTwoSandboxes();
  const auto summary = Replay();
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(Events(),
            (std::vector<std::string>{"sandbox.started one", "sandbox.started two",
                                      "process.exit one", "process.exit two", "sandpiper.loss one",
                                      "sandbox.stopped one", "sandbox.stopped two"}));
  EXPECT_EQ(summary->records, 3u);
  EXPECT_EQ(summary->unattributed, 1u);
  EXPECT_EQ(summary->sandboxes, 2u);
  EXPECT_EQ(summary->truncation, "");
  // The times are those of the capture.
  EXPECT_EQ(records_[2].time_unix_ns - records_[0].time_unix_ns, 3 * kSecond);
}

TEST_F(ReplayTest, RecordsHaveTheAttributesOfTheirMember) {
  WriteTwoSandboxes();
  ASSERT_TRUE(Replay().ok());
  EXPECT_EQ(Get(records_[2], "sandbox.role"), "app");
  EXPECT_EQ(Get(records_[3], "sandbox.role"), "");
}

TEST_F(ReplayTest, MemberThatMovesBelongsToBothSandboxesInTurn) {
  {
    const auto writer = Create();
    writer->WriteSandbox({.serial = 1, .id = "one", .runtime = "cgroup"}, kStarted);
    writer->WriteSandbox({.serial = 2, .id = "two", .runtime = "cgroup"}, kStarted);
    writer->WriteMember(5, 1, kStarted, {});
    writer->WriteMember(5, 2, kStarted + 2 * kSecond, {});
    writer->WriteRecord(ExitRecord(5, 11, kStarted + 2 * kSecond - 1));
    writer->WriteRecord(ExitRecord(5, 12, kStarted + 2 * kSecond));
  }
  ASSERT_TRUE(Replay().ok());
  EXPECT_EQ(Events()[2], "process.exit one");
  EXPECT_EQ(Events()[3], "process.exit two");
}

TEST_F(ReplayTest, SandboxWithoutEndStopsAtItsLastEventWithDeliveredCounts) {
  {
    const auto writer = Create();
    writer->WriteSandbox({.serial = 1, .id = "one", .runtime = "cgroup"}, kStarted);
    writer->WriteMember(5, 1, kStarted, {});
    writer->WriteRecord(ExitRecord(5, 11, kStarted + 2 * kSecond));
  }
  ASSERT_TRUE(Replay().ok());
  EXPECT_EQ(records_.back().event.view(), "sandbox.stopped");
  EXPECT_EQ(records_.back().time_unix_ns - records_[0].time_unix_ns, 2 * kSecond);
  EXPECT_EQ(Get(records_.back(), "sandpiper.produced"), "1");
  EXPECT_EQ(Get(records_.back(), "sandpiper.delivered"), "1");
}

TEST_F(ReplayTest, WindowsCloseBetweenEvents) {
  {
    const auto writer = Create();
    writer->WriteSandbox({.serial = 1, .id = "one", .runtime = "cgroup"}, kStarted);
    writer->WriteMember(5, 1, kStarted, {});
    connect_event e = {};
    e.cookie = 77;
    writer->WriteRecord(BytesOf(e, EVENT_CONNECT, 5, kStarted + kSecond));
    writer->WriteRecord(ExitRecord(5, 11, kStarted + 25 * kSecond));
    writer->WriteTcpBytes(77, 10, 20);
  }
  ASSERT_TRUE(Replay(10 * kSecond).ok());
  std::vector<uint64_t> times;
  for (const LogRecord& record : records_) {
    if (record.event == "egress.destination")
      times.push_back((record.time_unix_ns - records_[0].time_unix_ns) / kSecond);
  }
  // The first window has the attempt, the end of the sandbox the bytes.
  EXPECT_EQ(times, (std::vector<uint64_t>{10, 25}));
}

TEST_F(ReplayTest, UndecodableRecordIsCounted) {
  Create()->WriteRecord(std::vector<std::byte>(3));
  const auto summary = Replay();
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->records, 1u);
  EXPECT_EQ(summary->undecodable, 1u);
}

TEST_F(ReplayTest, TruncatedFileIsReplayedUpToItsEnd) {
  WriteTwoSandboxes();
  const std::string whole = ReadFile();
  int truncated = 0;
  for (size_t size = 0; size < whole.size(); ++size) {
    WriteFile(whole.substr(0, size));
    const auto summary = Replay();
    if (summary.ok())
      truncated += !summary->truncation.empty();
    else
      EXPECT_TRUE(absl::IsInvalidArgument(summary.status())) << summary.status();
  }
  EXPECT_GT(truncated, 50);
}

TEST_F(ReplayTest, CorruptBytesDoNotStopTheReplayFromEnding) {
  WriteTwoSandboxes();
  const std::string whole = ReadFile();
  for (size_t i = 0; i < whole.size(); ++i) {
    for (const char mask : {'\x01', '\x80', '\xff'}) {
      std::string corrupt = whole;
      corrupt[i] = static_cast<char>(corrupt[i] ^ mask);
      WriteFile(corrupt);
      (void)Replay().status();
    }
  }
}

TEST_F(ReplayTest, MissingFileIsNotFound) { EXPECT_TRUE(absl::IsNotFound(Replay().status())); }

TEST_F(ReplayTest, FileThatIsNoCaptureIsInvalid) {
  WriteFile("{\"ts\":1}\n");
  EXPECT_TRUE(absl::IsInvalidArgument(Replay().status()));
}

TEST_F(ReplayTest, OtherFormatIsInvalidAndNamed) {
  { Create(); }
  std::string bytes = ReadFile();
  const size_t version = bytes.find(static_cast<char>(kCaptureFormat), 4);
  ASSERT_NE(version, std::string::npos);
  bytes[version] = 99;
  WriteFile(bytes);
  const absl::Status status = Replay().status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_NE(std::string(status.message()).find("has capture format 99"), std::string::npos)
      << status;
}

TEST_F(ReplayTest, FullCaptureWarnsOnceAndStaysReadable) {
  {
    const auto writer = Create(/*bytes_max=*/200);
    for (uint32_t i = 0; i < 100; ++i)
      writer->WriteRecord(ExitRecord(5, i, kStarted));
  }
  ASSERT_EQ(warnings_.size(), 1u);
  EXPECT_NE(warnings_[0].find("stopped: it reached its maximum of 200 bytes"), std::string::npos)
      << warnings_[0];
  const auto summary = Replay();
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_GT(summary->records, 0u);
  EXPECT_EQ(summary->truncation, "");
}

TEST_F(ReplayTest, CaptureReaderGroupsByCookieAndSortsByTime) {
  WriteTwoSandboxes();
  const auto capture = ReadCapture(path_);
  ASSERT_TRUE(capture.ok()) << capture.status();
  EXPECT_EQ(capture->sandboxes.size(), 2u);
  EXPECT_EQ(capture->members.size(), 2u);
  ASSERT_EQ(capture->events.size(), 3u);
  EXPECT_LT(capture->events[0].time_ns, capture->events[1].time_ns);
  EXPECT_LT(capture->events[1].time_ns, capture->events[2].time_ns);
  const KernelCounts counts = ToKernelCounts(capture->ends.at(1).counts());
  EXPECT_EQ(counts.produced[EVENT_EXIT], 4u);
  EXPECT_EQ(counts.dropped[EVENT_EXIT], 3u);
}

}  // namespace
}  // namespace sandpiper
