// SPDX-License-Identifier: Apache-2.0
// The screen of `sandpiper top`.
#include "userspace/command/top_screen.h"

#include <gtest/gtest.h>

#include "userspace/command/text_table.h"

namespace sandpiper {
namespace {

v1::Sandbox* Add(v1::ListSandboxesResponse* list, const std::string& id, uint64_t lookups,
                 uint64_t attempts) {
  v1::Sandbox* const out = list->add_sandboxes();
  out->set_id(id);
  out->set_runtime("cgroup");
  out->set_lookups(lookups);
  out->set_attempts(attempts);
  return out;
}

TEST(TopScreen, BusiestSandboxIsFirstWithItsDestinations) {
  v1::ListSandboxesResponse before, now;
  Add(&before, "idle", 500, 500);
  Add(&before, "busy", 10, 10);
  Add(&now, "idle", 500, 500);
  v1::Sandbox* const busy = Add(&now, "busy", 30, 14);
  busy->set_dropped(3);
  v1::Destination* const destination = busy->add_top_destinations();
  destination->set_target("pypi.org:443/tcp");
  destination->set_attempts(4);
  destination->set_denied(1);
  destination->set_sent(12'345);
  const std::vector<std::string> lines =
      TopScreen(before, now, {.seconds = 2, .rows = 24, .columns = 120});
  ASSERT_EQ(lines.size(), 6u);
  EXPECT_EQ(
      lines[0],
      "2 sandboxes; per second: 10 lookups, 2.0 connects, 0 denied, 0 execs; 3 events dropped");
  EXPECT_EQ(lines[3].substr(0, 4), "busy");
  EXPECT_NE(lines[3].find(" 10 "), std::string::npos) << lines[3];
  EXPECT_EQ(lines[4], "  pypi.org:443/tcp  4 attempts, 1 denied, 12.3 kB sent, 0 B received");
  EXPECT_EQ(lines[5].substr(0, 4), "idle");
}

TEST(TopScreen, RatesOfNewAndRestartedSandboxesCountFromZero) {
  v1::ListSandboxesResponse before, now;
  Add(&before, "again", 100, 0);
  Add(&now, "again", 2, 0);
  Add(&now, "new", 8, 0);
  EXPECT_EQ(
      TopScreen(before, now, {.seconds = 1, .rows = 24, .columns = 200})[0],
      "2 sandboxes; per second: 8.0 lookups, 0 connects, 0 denied, 0 execs; 0 events dropped");
}

TEST(TopScreen, LongScreenIsCutToTheTerminal) {
  v1::ListSandboxesResponse list;
  for (int i = 0; i < 100; ++i)
    Add(&list, std::string(90, 'x'), 1, 1);
  const std::vector<std::string> lines = TopScreen({}, list, {.rows = 10, .columns = 40});
  ASSERT_EQ(lines.size(), 10u);
  EXPECT_EQ(lines[9], "… 94 more lines");
  for (const std::string& line : lines)
    EXPECT_LE(Width(line), 40u);
}

TEST(TextTable, WidthsAreInCharacters) {
  TextTable table({"A", "N"}, 1);
  table.Add({"µµ", "1"});
  table.Add({"abc", "22"});
  EXPECT_EQ(table.Lines(), (std::vector<std::string>{"A    N", "µµ   1", "abc 22"}));
  EXPECT_EQ(Fit("µµµµ", 3), "µµ…");
  EXPECT_EQ(Fit("µµµ", 3), "µµµ");
}

}  // namespace
}  // namespace sandpiper
