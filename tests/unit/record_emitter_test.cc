// SPDX-License-Identifier: Apache-2.0
#include "userspace/session/record_emitter.h"

#include <gtest/gtest.h>

#include "tests/unit/session_fixture.h"
#include "userspace/base/clock.h"

namespace sandpiper {
namespace {

class RecordEmitterTest : public ::testing::Test {
 protected:
  RecordEmitter Create(Severity level, std::optional<int64_t> recorded_offset = std::nullopt) {
    return {{{"sandbox_id", "sb"}}, level, recorded_offset, received_.Sink()};
  }
  static LogRecord Warning(RecordMaker& records, int64_t unix_offset) {
    return records.Loss({{"ring_full.exec", 1}}, 0, unix_offset);
  }
  static LogRecord Info(RecordMaker& records, int64_t unix_offset) {
    return records.Started(0, unix_offset);
  }

  testing::ReceivedRecords received_;
};

TEST_F(RecordEmitterTest, EmitDropsRecordsBelowTheLogLevel) {
  RecordEmitter emitter = Create(Severity::kWarn);
  emitter.Emit(Info);
  emitter.Emit(Warning);
  EXPECT_EQ(received_.Events(), std::vector<std::string>{"sandpiper.loss"});
}

TEST_F(RecordEmitterTest, EmitInfoBuildsNoRecordAtWarnLevel) {
  RecordEmitter emitter = Create(Severity::kWarn);
  bool was_built = false;
  const auto make = [&](RecordMaker& records, int64_t unix_offset) {
    was_built = true;
    return Info(records, unix_offset);
  };
  emitter.EmitInfo(make);
  EXPECT_FALSE(was_built);
  emitter.set_log_level(Severity::kInfo);
  emitter.EmitInfo(make);
  EXPECT_TRUE(was_built);
  EXPECT_EQ(received_.all().size(), 1u);
}

TEST_F(RecordEmitterTest, EmitDebugBuildsNoRecordAtInfoLevel) {
  RecordEmitter emitter = Create(Severity::kInfo);
  emitter.EmitDebug(Info);
  EXPECT_TRUE(received_.all().empty());
  emitter.set_log_level(Severity::kDebug);
  emitter.EmitDebug(Info);
  EXPECT_EQ(received_.all().size(), 1u);
}

TEST_F(RecordEmitterTest, RecordedOffsetReplacesTheClockOfTheHost) {
  RecordEmitter emitter = Create(Severity::kInfo, 12345);
  EXPECT_TRUE(emitter.is_recorded());
  emitter.RefreshUnixOffset();
  EXPECT_EQ(emitter.unix_offset(), 12345);
  emitter.Emit(Info);
  EXPECT_EQ(received_.all()[0].time_unix_ns, 12345u);
}

TEST_F(RecordEmitterTest, OffsetFollowsTheClockOfTheHost) {
  const int64_t before = UnixOffset();
  RecordEmitter emitter = Create(Severity::kInfo);
  EXPECT_FALSE(emitter.is_recorded());
  emitter.RefreshUnixOffset();
  EXPECT_NEAR(static_cast<double>(emitter.unix_offset()), static_cast<double>(before),
              static_cast<double>(kSecond));
}

}  // namespace
}  // namespace sandpiper
