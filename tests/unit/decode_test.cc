// SPDX-License-Identifier: Apache-2.0
#include "userspace/event/decode.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "absl/status/statusor.h"
#include "bpf/events.h"

namespace sandpiper {
namespace {

using Bytes = std::vector<std::byte>;

// A record as the kernel side would write it: the fixed part, then `tail`.
template <typename T>
Bytes Forge(T fixed, const std::string& tail = "") {
  fixed.header.size = sizeof(T) + tail.size();
  Bytes out(sizeof(T) + tail.size());
  std::memcpy(out.data(), &fixed, sizeof(T));
  std::memcpy(out.data() + sizeof(T), tail.data(), tail.size());
  return out;
}

struct ExecTexts {
  std::string path, cwd, script, args;
};

exec_event ExecRecord(const ExecTexts& texts, uint16_t flags = 0) {
  exec_event e = {};
  e.header.kind = EVENT_EXEC;
  e.header.flags = flags;
  e.header.member = 5;
  e.header.time_ns = 77;
  e.process.tgid = 42;
  e.process.start_ns = 9;
  e.path_bytes = static_cast<__u16>(texts.path.size());
  e.cwd_bytes = static_cast<__u16>(texts.cwd.size());
  e.script_bytes = static_cast<__u16>(texts.script.size());
  e.args_bytes = static_cast<__u16>(texts.args.size());
  std::strcpy(e.comm, "comm");
  return e;
}

absl::StatusOr<Event> Decoded(std::span<const std::byte> record) {
  Event event;
  const absl::Status status = Decode(record, &event);
  return status.ok() ? absl::StatusOr<Event>(std::move(event)) : status;
}

Exec DecodedExec(const ExecTexts& texts, uint16_t flags = 0) {
  return std::get<Exec>(
      Decoded(Forge(ExecRecord(texts, flags), texts.path + texts.cwd + texts.script + texts.args))
          ->body);
}

TEST(Decode, Exec) {
  const ExecTexts texts = {.path = std::string("dash\0bin\0usr\0", 13),
                           .cwd = std::string("tmp\0", 4),
                           .script = std::string("./run\0", 6),
                           .args = std::string("sh\0-c\0\0x", 8)};
  const auto event =
      Decoded(Forge(ExecRecord(texts), texts.path + texts.cwd + texts.script + texts.args));
  ASSERT_TRUE(event.ok()) << event.status();
  EXPECT_EQ(event->member, 5u);
  EXPECT_EQ(event->time_ns, 77u);
  const Exec& exec = std::get<Exec>(event->body);
  EXPECT_EQ(exec.path, "/usr/bin/dash");
  EXPECT_EQ(exec.working_directory, "/tmp");
  EXPECT_EQ(exec.script, "./run");
  EXPECT_EQ(exec.args, (std::vector<std::string>{"sh", "-c", "", "x"}));
  EXPECT_EQ(exec.process.pid, 42u);
  EXPECT_EQ(exec.comm, "comm");
}

TEST(Decode, PathsThatAreNoFiles) {
  EXPECT_EQ(DecodedExec({}).path, "/");
  EXPECT_EQ(
      DecodedExec({.path = std::string("memfd:hidden\0", 13), .cwd = {}, .script = {}, .args = {}})
          .path,
      "memfd:hidden");
  EXPECT_EQ(DecodedExec({.path = std::string("c\0b\0", 4), .cwd = {}, .script = {}, .args = {}},
                        EXEC_PATH_TRUNCATED)
                .path,
            ".../b/c");
}

// The five that every decoder needs: short, exact, longer, unknown, lying.
TEST(Decode, ShortExactLongerUnknownLying) {
  exit_event e = {};
  e.header.kind = EVENT_EXIT;
  e.status = 256;
  Bytes exact = Forge(e);
  EXPECT_TRUE(Decoded(exact).ok());
  for (size_t n = 0; n < exact.size(); ++n)
    EXPECT_FALSE(Decoded(std::span(exact).first(n)).ok()) << n;
  Bytes longer = Forge(e, "a newer tail");
  EXPECT_EQ(std::get<Exit>(Decoded(longer)->body).status, 256u);
  e.header.kind = 999;
  EXPECT_FALSE(Decoded(Forge(e)).ok());
  exec_event lying = ExecRecord({});
  lying.args_bytes = 1000;
  EXPECT_FALSE(Decoded(Forge(lying, std::string(999, 'a'))).ok());
  lying.path_bytes = lying.cwd_bytes = lying.script_bytes = 60000;
  EXPECT_FALSE(Decoded(Forge(lying, std::string(60000, 'a'))).ok());
  dns_event dns = {};
  dns.header.kind = EVENT_DNS_QUERY;
  dns.data_bytes = 1;
  EXPECT_FALSE(Decoded(Forge(dns)).ok());
}

TEST(Decode, OwnerOfWhatCannotBeDecoded) {
  exec_event lying = ExecRecord({});
  lying.args_bytes = 1000;
  const Bytes record = Forge(lying);
  EXPECT_EQ(OwnerOf(record)->member, 5u);
  EXPECT_EQ(OwnerOf(record)->kind, EVENT_EXEC);
  EXPECT_FALSE(OwnerOf(std::span(record).first(8)).has_value());
}

TEST(Decode, DnsCutDatagram) {
  dns_event e = {};
  e.header.kind = EVENT_DNS_ANSWER;
  e.transport = TRANSPORT_UDP;
  e.payload_bytes = 5000;
  e.data_bytes = 4;
  e.server.port = 53;
  const auto event = Decoded(Forge(e, "data and unused room of its class"));
  const DnsPayload& dns = std::get<DnsPayload>(event->body);
  EXPECT_EQ(dns.data, "data");
  EXPECT_TRUE(dns.is_cut);
  EXPECT_FALSE(dns.is_query);
  EXPECT_EQ(dns.server.port, 53);
}

TEST(Decode, RandomBytesAreSurvived) {
  std::mt19937 random(4);
  for (int i = 0; i < 200000; ++i) {
    Bytes record(random() % 400);
    for (std::byte& b : record)
      b = static_cast<std::byte>(random());
    if (record.size() >= 8) {
      record[0] = static_cast<std::byte>(random() % (EVENT_KIND_COUNT + 2));
      record[1] = std::byte{0};
      const uint32_t size = random() % 500;
      std::memcpy(record.data() + 4, &size, 4);
    }
    (void)Decoded(record);
  }
}

TEST(KindName, EveryKindHasOne) {
  for (uint16_t kind = 1; kind < EVENT_KIND_COUNT; ++kind)
    EXPECT_STRNE(KindName(kind), "unknown") << kind;
}

TEST(Decode, ACgroupThatWasMade) {
  cgroup_event e = {};
  e.header = {.kind = EVENT_CGROUP_CREATED,
              .flags = 0,
              .size = sizeof(e),
              .time_ns = 7,
              .member = 9,
              .cgroup_id = 11};
  const std::string path = "/kubepods/x";
  std::copy(path.begin(), path.end(), e.path);
  e.path_bytes = static_cast<uint32_t>(path.size());
  const auto bytes = [&e] { return std::span(reinterpret_cast<const std::byte*>(&e), sizeof(e)); };
  auto event = Decoded(bytes());
  ASSERT_TRUE(event.ok());
  EXPECT_EQ(std::get<CgroupCreated>(event->body).path, path);
  EXPECT_EQ(event->cgroup_id, 11u);
  // One that fills the room may have been longer, and is not to be taken for another.
  e.path_bytes = CGROUP_PATH_BYTES - 1;
  event = Decoded(bytes());
  ASSERT_TRUE(event.ok());
  EXPECT_EQ(std::get<CgroupCreated>(event->body).path, "");
  e.path_bytes = CGROUP_PATH_BYTES + 1;
  EXPECT_FALSE(Decoded(bytes()).ok());
}

TEST(Decode, AnErrorThatIsNoErrnoIsRefused) {
  nft_event e = {};
  e.header = {
      .kind = EVENT_NFT, .flags = 0, .size = sizeof(e), .time_ns = 7, .member = 9, .cgroup_id = 11};
  e.error = -1;
  const auto event = Decoded(std::as_bytes(std::span(&e, 1)));
  ASSERT_TRUE(event.ok());
  EXPECT_EQ(std::get<NftChange>(event->body).error, 1);
  e.error = std::numeric_limits<int32_t>::min();
  EXPECT_FALSE(Decoded(std::as_bytes(std::span(&e, 1))).ok());
}

TEST(Decode, WhatIsAttributedByNamespaceSaysSo) {
  exit_event e = {};
  e.header = {.kind = EVENT_EXIT,
              .flags = EVENT_BY_NAMESPACE,
              .size = sizeof(e),
              .time_ns = 7,
              .member = 9,
              .cgroup_id = 11};
  const auto event = Decoded(std::span(reinterpret_cast<const std::byte*>(&e), sizeof(e)));
  ASSERT_TRUE(event.ok());
  EXPECT_EQ(event->attributed_by, AttributionBasis::kNamespace);
  e.header.flags = EVENT_BY_PROCESS;
  EXPECT_EQ(Decoded(std::as_bytes(std::span(&e, 1)))->attributed_by, AttributionBasis::kProcess);
  e.header.flags = 0;
  EXPECT_EQ(Decoded(std::as_bytes(std::span(&e, 1)))->attributed_by, AttributionBasis::kCgroup);
}

}  // namespace
}  // namespace sandpiper
