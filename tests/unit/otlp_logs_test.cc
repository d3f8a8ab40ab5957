// SPDX-License-Identifier: Apache-2.0
// EncodeLogs writes the same bytes as the generated classes.
#include "userspace/export/otlp_logs.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>

#include "tests/unit/generated_logs.h"
#include "userspace/export/proto_writer.h"

namespace sandpiper {
namespace {

SharedRecord Share(LogRecord record) {
  return std::make_shared<const LogRecord>(std::move(record));
}

std::string Generated(std::span<const SharedRecord> records,
                      const std::vector<Attribute>& resource) {
  OtlpLogs request;
  FillLogs(records, resource, &request);
  return request.SerializeAsString();
}

TEST(EncodeLogs, ReceiverReadsAllFields) {
  const std::vector<SharedRecord> records = {
      Share({.time_unix_ns = 1767323045000000006,
             .observed_unix_ns = 1767323046000000000,
             .severity = Severity::kWarn,
             .event = "egress.denied",
             .body = "egress denied a.test",
             .attributes = {{"opensandbox.event", "egress.denied"},
                            {"target.ips", std::vector<std::string>{"192.0.2.1", "2001:db8::1"}},
                            {"count", int64_t{-3}},
                            {"rules", std::vector<Rule>{{"allow", "a.test"}, {"deny", "*"}}}}})};
  OtlpLogs request;
  ASSERT_TRUE(request.ParseFromString(EncodeLogs(records, {{"service.name", "sandpiper"}})));
  const auto& resource = request.resource_logs(0);
  EXPECT_EQ(resource.resource().attributes(0).key(), "service.name");
  EXPECT_EQ(resource.resource().attributes(0).value().string_value(), "sandpiper");
  EXPECT_EQ(resource.scope_logs(0).scope().name(), "sandpiper");
  const auto& out = resource.scope_logs(0).log_records(0);
  EXPECT_EQ(out.time_unix_nano(), 1767323045000000006u);
  EXPECT_EQ(out.observed_time_unix_nano(), 1767323046000000000u);
  EXPECT_EQ(out.severity_number(), 13);
  EXPECT_EQ(out.severity_text(), "WARN");
  EXPECT_EQ(out.event_name(), "egress.denied");
  EXPECT_EQ(out.body().string_value(), "egress denied a.test");
  EXPECT_EQ(out.attributes(1).value().array_value().values(1).string_value(), "2001:db8::1");
  EXPECT_EQ(out.attributes(2).value().int_value(), -3);
  EXPECT_EQ(out.attributes(3)
                .value()
                .array_value()
                .values(1)
                .kvlist_value()
                .values(1)
                .value()
                .string_value(),
            "*");
}

TEST(EncodeLogs, EmptyBatchAndEmptyRecord) {
  EXPECT_EQ(EncodeLogs({}, {}), Generated({}, {}));
  const std::vector<SharedRecord> empty = {Share({})};
  EXPECT_EQ(EncodeLogs(empty, {}), Generated(empty, {}));
}

// Lengths at which a varint grows, values of each type at their ends, lists that are empty.
TEST(EncodeLogs, EqualsGeneratedClassesForRandomRecords) {
  std::mt19937 random(20261126);
  const auto number = [&](uint64_t below) {
    return std::uniform_int_distribution<uint64_t>(0, below - 1)(random);
  };
  const auto text = [&] {
    static constexpr size_t kLengths[] = {0, 1, 15, 16, 100, 126, 127, 128, 129, 16'383, 16'384};
    return std::string(kLengths[number(std::size(kLengths))], static_cast<char>('a' + number(26)));
  };
  const auto integer = [&]() -> int64_t {
    static constexpr int64_t kNumbers[] = {0,
                                           1,
                                           127,
                                           128,
                                           -1,
                                           std::numeric_limits<int64_t>::min(),
                                           std::numeric_limits<int64_t>::max()};
    return kNumbers[number(std::size(kNumbers))];
  };
  const auto value = [&]() -> AttributeValue {
    switch (number(6)) {
      case 0:
        return text();
      case 1:
        return integer();
      case 2:
        return number(2) ? 0.0 : -1.5e300;
      case 3:
        return number(2) == 1;
      case 4: {
        std::vector<std::string> list(number(4));
        for (std::string& item : list)
          item = text();
        return list;
      }
      default: {
        std::vector<Rule> rules(number(3));
        for (Rule& rule : rules)
          rule = {.action = text(), .target = text()};
        return rules;
      }
    }
  };
  static constexpr Severity kSeverities[] = {Severity::kDebug, Severity::kInfo, Severity::kWarn,
                                             Severity::kError};
  for (int round = 0; round < 200; ++round) {
    std::vector<SharedRecord> records(number(5));
    for (SharedRecord& record : records) {
      LogRecord made = {.time_unix_ns = number(2) * number(~0ull),
                        .observed_unix_ns = number(2) * number(~0ull),
                        .severity = kSeverities[number(4)],
                        .event = text(),
                        .body = text(),
                        .dropped_attributes = static_cast<uint32_t>(number(2) * number(1000))};
      for (size_t i = number(8); i > 0; --i)
        made.attributes.emplace_back(Attribute(SharedText(text()), value()));
      record = Share(std::move(made));
    }
    const std::vector<Attribute> resource = {{"service.name", text()}, {"n", integer()}};
    ASSERT_EQ(EncodeLogs(records, resource), Generated(records, resource)) << "round " << round;
  }
}

TEST(ProtoWriter, BufferGrowsAndKeepsContent) {
  ProtoWriter small(1), large(1 << 20);
  for (ProtoWriter* out : {&small, &large}) {
    for (int i = 0; i < 1000; ++i)
      out->Bytes(1, std::string(static_cast<size_t>(i), 'x'));
  }
  EXPECT_EQ(small.view(), large.view());
}

}  // namespace
}  // namespace sandpiper
