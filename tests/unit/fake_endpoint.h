// SPDX-License-Identifier: Apache-2.0
// An endpoint for tests: it keeps the requests, and gives the answers that a test sets.
#ifndef SANDPIPER_TESTS_UNIT_FAKE_ENDPOINT_H_
#define SANDPIPER_TESTS_UNIT_FAKE_ENDPOINT_H_

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/unit/generated_logs.h"
#include "userspace/export/transport.h"

namespace sandpiper {

inline SendResult Answer(SendResult::Verdict verdict) {
  return {.verdict = verdict,
          .rejected = 0,
          .retry_after = std::chrono::milliseconds(1),
          .error = verdict == SendResult::kSent ? "" : "no"};
}

// Outlives the exporter.
struct Endpoint {
  std::function<SendResult(const std::string&)> answer = [](const std::string&) {
    return Answer(SendResult::kSent);
  };
  std::function<void()> cancel = [] {};
  std::vector<std::string> asked;
};

class FakeTransport : public OtlpTransport {
 public:
  explicit FakeTransport(Endpoint* endpoint) : endpoint_(endpoint) {}
  SendResult Send(const std::string& request) override {
    endpoint_->asked.push_back(request);
    return endpoint_->answer(request);
  }
  void Cancel() override { endpoint_->cancel(); }

 private:
  Endpoint* endpoint_;
};

inline std::vector<std::string> Bodies(const std::string& request) {
  OtlpLogs parsed;
  EXPECT_TRUE(parsed.ParseFromString(request));
  std::vector<std::string> out;
  for (const auto& resource : parsed.resource_logs()) {
    for (const auto& record : resource.scope_logs(0).log_records())
      out.push_back(record.body().string_value());
  }
  return out;
}

inline std::vector<std::string> Numbers(int count, int from = 0) {
  std::vector<std::string> out;
  for (int i = from; i < from + count; ++i)
    out.push_back(std::to_string(i));
  return out;
}

}  // namespace sandpiper

#endif  // SANDPIPER_TESTS_UNIT_FAKE_ENDPOINT_H_
