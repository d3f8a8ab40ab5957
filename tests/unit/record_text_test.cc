// SPDX-License-Identifier: Apache-2.0
// Records as `sandpiper observe` shows them.
#include "userspace/command/record_text.h"

#include <gtest/gtest.h>

namespace sandpiper {
namespace {

std::string Compact(const std::string& attributes) {
  return RecordLine(
      "{\"ts\":\"2026-01-02T03:04:05.006007008Z\",\"level\":\"info\",\"sandbox_id\":\"sb\"," +
          attributes + "}",
      RecordFormat::kCompact, false);
}

TEST(RecordText, EachKindHasItsDetailAndResult) {
  EXPECT_EQ(
      Compact(
          R"("opensandbox.event":"egress.outbound","target.host":"pypi.org","dns.question.type":"A","target.ips":["192.0.2.1","192.0.2.2"],)"
          R"("egress.outcome":"ok","process.executable.name":"pip","process.pid":7)"),
      "03:04:05.006Z sb egress.outbound pypi.org A (192.0.2.1, 192.0.2.2) by pip[7]");
  EXPECT_EQ(
      Compact(
          R"("opensandbox.event":"egress.outbound","target.host":"no.test","dns.question.type":"A","egress.outcome":"nxdomain")"),
      "03:04:05.006Z sb egress.outbound no.test A (nxdomain)");
  EXPECT_EQ(
      Compact(
          R"("opensandbox.event":"egress.denied","peer":"2001:db8::1","network.peer.port":443,"network.transport":"tcp",)"
          R"("egress.layer":"netfilter","count":3)"),
      "03:04:05.006Z sb egress.denied [2001:db8::1]:443/tcp (netfilter, 3 times)");
  EXPECT_EQ(
      Compact(
          R"("opensandbox.event":"process.exec","process.command_args":["sh","-c","true"],"process.executable.name":"sh","process.pid":9)"),
      "03:04:05.006Z sb process.exec sh -c true by sh[9]");
  EXPECT_EQ(Compact(R"("opensandbox.event":"process.exit","process.exit.signal":9)"),
            "03:04:05.006Z sb process.exit (signal 9)");
  EXPECT_EQ(
      Compact(
          R"("opensandbox.event":"egress.updated","egress.default":"deny","rules":[{"action":"allow","target":"any"}],"actor":"host")"),
      "03:04:05.006Z sb egress.updated default deny; + allow any (by the host)");
}

TEST(RecordText, InvalidRecordIsUnchanged) {
  for (const char* text : {"", "{", "[]", "{\"a\":1}", "{\"opensandbox.event\":7}"})
    EXPECT_EQ(RecordLine(text, RecordFormat::kCompact, false).find('\n'), std::string::npos)
        << text;
  EXPECT_EQ(RecordLine("not json", RecordFormat::kTable, false), "not json");
}

TEST(RecordText, ValuesOfUnexpectedTypesAreOmitted) {
  EXPECT_EQ(
      Compact(R"("opensandbox.event":"egress.denied","peer":7,"count":"x","egress.layer":[])"),
      "03:04:05.006Z sb egress.denied");
  EXPECT_EQ(
      Compact(R"("opensandbox.event":"egress.updated","rules":[{"action":1},{"target":"x"},7])"),
      "03:04:05.006Z sb egress.updated");
}

TEST(RecordText, WarningsAreRed) {
  const std::string warn =
      R"({"ts":"2026-01-02T03:04:05.006007008Z","level":"warn","sandbox_id":"sb","opensandbox.event":"egress.denied"})";
  EXPECT_EQ(RecordLine(warn, RecordFormat::kCompact, true),
            "03:04:05.006Z sb \x1b[31megress.denied\x1b[0m");
}

}  // namespace
}  // namespace sandpiper
