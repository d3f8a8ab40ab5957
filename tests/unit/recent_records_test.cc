// SPDX-License-Identifier: Apache-2.0
// Tests that an observer gets the records that it asked for, in order, and blocks no other.
#include "userspace/export/recent_records.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace sandpiper {
namespace {

using namespace std::chrono_literals;

LogRecord Record(const std::string& event, const std::string& sandbox,
                 std::vector<RecordAttribute> more = {}, uint64_t time = 100) {
  LogRecord out = {.time_unix_ns = time,
                   .event = event,
                   .body = sandbox,
                   .attributes = {{"opensandbox.event", event}, {"sandbox_id", sandbox}}};
  out.attributes.insert(out.attributes.end(), more.begin(), more.end());
  return out;
}

SharedRecord Shared(const std::string& event, const std::string& sandbox) {
  return std::make_shared<const LogRecord>(Record(event, sandbox));
}

TEST(RecordFilter, OnePatternOfEachListMustMatch) {
  const LogRecord lookup =
      Record("egress.outbound", "sb-1",
             {{"target.host", "Pypi.org"}, {"target.ips", std::vector<std::string>{"192.0.2.7"}}});
  EXPECT_TRUE(RecordFilter{}.Matches(lookup));
  EXPECT_TRUE(
      (RecordFilter{.sandboxes = {"sb-2", "sb-*"}, .events = {"egress.*"}, .hosts = {"pypi.org"}})
          .Matches(lookup));
  EXPECT_TRUE(RecordFilter{.hosts = {"192.0.2.*"}}.Matches(lookup));
  EXPECT_FALSE(RecordFilter{.hosts = {"192.0.3.*"}}.Matches(lookup));
  EXPECT_FALSE(RecordFilter{.sandboxes = {"sb"}}.Matches(lookup));
  EXPECT_FALSE(RecordFilter{.events = {"process.*"}}.Matches(lookup));
  EXPECT_FALSE(RecordFilter{.hosts = {"*"}}.Matches(Record("process.exec", "sb-1")));
}

TEST(RecordFilter, FiltersByDenialAndTime) {
  const RecordFilter denied = {.denied = true};
  EXPECT_TRUE(denied.Matches(Record("egress.denied", "a")));
  EXPECT_TRUE(denied.Matches(Record("egress.destination", "a", {{"egress.denied", int64_t{2}}})));
  EXPECT_FALSE(denied.Matches(Record("egress.destination", "a", {{"egress.denied", int64_t{0}}})));
  EXPECT_FALSE(denied.Matches(Record("egress.outbound", "a")));
  EXPECT_TRUE(RecordFilter{.since_unix_ns = 100}.Matches(Record("x", "a")));
  EXPECT_FALSE(RecordFilter{.since_unix_ns = 101}.Matches(Record("x", "a")));
}

TEST(RecentRecords, KeepsNewestAndReplaysLast) {
  RecentRecords records(3);
  for (const char* name : {"1", "2", "3", "4"})
    records.Push(Shared("e", name));
  const auto all = records.Watch({}, 10), last = records.Watch({}, 2);
  ASSERT_TRUE(all.ok() && last.ok());
  records.Push(Shared("e", "5"));
  const auto seen = [](RecentRecords::Watcher* watcher) {
    std::vector<std::string> out;
    while (const auto record = watcher->Wait(0ms).record)
      out.push_back(record->body);
    return out;
  };
  EXPECT_EQ(seen(all->get()), (std::vector<std::string>{"2", "3", "4", "5"}));
  EXPECT_EQ(seen(last->get()), (std::vector<std::string>{"3", "4", "5"}));
}

TEST(RecentRecords, SlowObserverGetsNumberOfMissedRecords) {
  RecentRecords records(1);
  const auto watcher = records.Watch({.events = {"e"}}, 0);
  ASSERT_TRUE(watcher.ok());
  for (size_t i = 0; i < RecentRecords::kQueueMax + 7; ++i)
    records.Push(Shared("e", "x"));
  records.Push(Shared("other", "x"));  // no observer wants it
  size_t seen = 0;
  while (const auto record = (*watcher)->Wait(0ms).record)
    ++seen;
  EXPECT_EQ(seen, RecentRecords::kQueueMax);
}

TEST(RecentRecords, MissedNumberComesAfterQueuedRecords) {
  RecentRecords records(1);
  const auto watcher = records.Watch({}, 0);
  ASSERT_TRUE(watcher.ok());
  for (size_t i = 0; i < RecentRecords::kQueueMax + 7; ++i)
    records.Push(Shared("e", "x"));
  for (size_t i = 0; i < RecentRecords::kQueueMax; ++i)
    ASSERT_TRUE((*watcher)->Wait(0ms).record);
  EXPECT_EQ((*watcher)->Wait(0ms).missed, 7u);
  EXPECT_EQ((*watcher)->Wait(0ms).missed, 0u);
}

TEST(RecentRecords, NumberOfObserversIsLimited) {
  RecentRecords records(1);
  std::vector<std::unique_ptr<RecentRecords::Watcher>> watchers;
  for (size_t i = 0; i < RecentRecords::kWatchersMax; ++i)
    watchers.push_back(*records.Watch({}, 0));
  EXPECT_TRUE(absl::IsResourceExhausted(records.Watch({}, 0).status()));
  watchers.pop_back();
  EXPECT_TRUE(records.Watch({}, 0).ok());
}

}  // namespace
}  // namespace sandpiper
