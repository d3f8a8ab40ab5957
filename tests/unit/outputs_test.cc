// SPDX-License-Identifier: Apache-2.0
#include "userspace/collector/outputs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace sandpiper {
namespace {

class OutputsTest : public ::testing::Test {
 protected:
  OutputsTest() : file_(open_memstream(&text_, &size_)) {
    config_.otel.logs = {};
    config_.otel.metrics = {};
    config_.recent_records = 10;
  }
  ~OutputsTest() override {
    outputs_.reset();
    fclose(file_);
    free(text_);
  }
  absl::Status Start(FILE* ndjson) {
    auto outputs = Outputs::Start(
        config_, ndjson, [this](const std::string& warning) { warnings_.push_back(warning); },
        [](uint64_t, MetricReader* reader) { reader->Begin(1); });
    if (outputs.ok())
      outputs_ = *std::move(outputs);
    return outputs.status();
  }
  static LogRecord Record(const std::string& event) {
    LogRecord out;
    out.event = event;
    out.body = event;
    return out;
  }
  std::string Written() {
    outputs_->Flush();
    return std::string(text_, size_);
  }

  char* text_ = nullptr;
  size_t size_ = 0;
  FILE* file_;
  Config config_;
  std::vector<std::string> warnings_;
  std::unique_ptr<Outputs> outputs_;
};

TEST_F(OutputsTest, RecordIsALine) {
  ASSERT_TRUE(Start(file_).ok());
  outputs_->OnRecord(Record("process.exec"));
  outputs_->OnRecord(Record("process.exit"));
  const std::string text = Written();
  EXPECT_NE(text.find("process.exec"), std::string::npos);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
}

TEST_F(OutputsTest, WithoutFileNothingIsWritten) {
  ASSERT_TRUE(Start(nullptr).ok());
  outputs_->OnRecord(Record("process.exec"));
  EXPECT_EQ(outputs_->Problems(), std::vector<std::string>{});
}

TEST_F(OutputsTest, WatcherSeesEachRecord) {
  ASSERT_TRUE(Start(nullptr).ok());
  int seen = 0;
  outputs_->SetWatcher([&](const LogRecord&) { ++seen; });
  outputs_->OnRecord(Record("process.exec"));
  EXPECT_EQ(seen, 1);
}

TEST_F(OutputsTest, InvalidPatternFailsTheStart) {
  config_.redact_arguments = {"("};
  EXPECT_FALSE(Start(nullptr).ok());
}

TEST_F(OutputsTest, InvalidPatternFailsTheReload) {
  ASSERT_TRUE(Start(nullptr).ok());
  Config changed = config_;
  changed.redact_arguments = {"("};
  EXPECT_FALSE(outputs_->Reload(changed).ok());
}

TEST_F(OutputsTest, WithoutExportersThereIsNothingToExport) {
  ASSERT_TRUE(Start(nullptr).ok());
  EXPECT_FALSE(outputs_->exports_metrics());
  EXPECT_EQ(outputs_->scrape_fd(), -1);
  outputs_->AnswerScrapes(1);
  outputs_->Shutdown(1, std::chrono::milliseconds(0));
}

TEST_F(OutputsTest, UnusableSpoolIsAWarning) {
  config_.otel.logs.otlp = OtlpEndpoint{};
  config_.otel.logs.otlp->target = "http://127.0.0.1:9/v1/logs";
  config_.spool.path = "/proc/none/spool";
  ASSERT_TRUE(Start(nullptr).ok());
  ASSERT_EQ(warnings_.size(), 1u);
  EXPECT_NE(warnings_[0].find("log records are kept in memory"), std::string::npos);
}

TEST_F(OutputsTest, UnusableSpoolFailsTheStartIfItIsWrittenFirst) {
  config_.otel.logs.otlp = OtlpEndpoint{};
  config_.otel.logs.otlp->target = "http://127.0.0.1:9/v1/logs";
  config_.spool.path = "/proc/none/spool";
  config_.spool_write_first = true;
  EXPECT_FALSE(Start(nullptr).ok());
}

}  // namespace
}  // namespace sandpiper
