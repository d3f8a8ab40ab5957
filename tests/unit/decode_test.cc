// SPDX-License-Identifier: Apache-2.0
#include "userspace/event/decode.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <set>
#include <vector>

#include "absl/status/statusor.h"
#include "bpf/events.h"
#include "userspace/event/event_kind.h"

namespace sandpiper {
namespace {

using Bytes = std::vector<std::byte>;

// A record as the BPF programs write it: the fixed part, then `tail`.
template <typename T>
Bytes Forge(T fixed, const std::string& tail = "") {
  fixed.header.size = static_cast<__u32>(sizeof(T) + tail.size());
  Bytes out(sizeof(T) + tail.size());
  std::memcpy(out.data(), &fixed, sizeof(T));
  std::memcpy(out.data() + sizeof(T), tail.data(), tail.size());
  return out;
}

// A record of a kind that has no fields.
Bytes ForgeHeader(event_header header) {
  header.size = sizeof(header);
  Bytes out(sizeof(header));
  std::memcpy(out.data(), &header, sizeof(header));
  return out;
}

absl::StatusOr<Event> Decoded(std::span<const std::byte> record) {
  Event event;
  const absl::Status status = Decode(record, &event);
  return status.ok() ? absl::StatusOr<Event>(std::move(event)) : status;
}

event_header Header(event_kind kind, int flags = 0) {
  return {.kind = static_cast<__u16>(kind),
          .flags = static_cast<__u16>(flags),
          .size = 0,
          .time_ns = 11,
          .member = 12,
          .cgroup_id = 13};
}

process_key RawProcess(uint32_t n) { return {.tgid = n, .tid = n + 1, .start_ns = n + 2}; }
ProcessKey DecodedProcess(uint32_t n) { return {.pid = n, .start_ns = n + 2}; }

endpoint RawPeer() {
  endpoint out = {.address = {}, .port = 8443, .pad0 = 0, .pad1 = 0};
  for (uint8_t i = 0; i < 16; ++i)
    out.address[i] = static_cast<uint8_t>(0x20 + i);
  return out;
}
Endpoint DecodedPeer() {
  Endpoint out = {.address = {}, .port = 8443};
  for (uint8_t i = 0; i < 16; ++i)
    out.address.bytes[i] = static_cast<uint8_t>(0x20 + i);
  return out;
}

void SetComm(char (&comm)[COMM_BYTES]) { std::strcpy(comm, "program"); }

// A record in which each field has a value of its own, and a check of all decoded fields. The
// checks take an event apart with a structured binding: a new field of the event breaks the build
// here until it is checked too. EveryKindIsInTheTable notices a new kind.
struct FieldCase {
  const char* name;
  Bytes record;
  std::function<void(const Event&)> check;
};

template <typename Check>
FieldCase Case(const char* name, Bytes record, Check check) {
  return {name, std::move(record), [check](const Event& event) { check(event.body); }};
}

using Body = decltype(Event::body);

Bytes ExecBytes(int flags) {
  exec_event e = {};
  e.header = Header(EVENT_EXEC, flags);
  e.process = RawProcess(100);
  e.parent = RawProcess(200);
  e.netns = 300;
  SetComm(e.comm);
  const std::string path("dash\0bin\0usr\0", 13);
  const std::string cwd("work\0srv\0", 9);
  const std::string script("./run.sh\0", 9);
  const std::string args("sh\0-c\0\0x", 8);
  e.path_bytes = static_cast<__u16>(path.size());
  e.cwd_bytes = static_cast<__u16>(cwd.size());
  e.script_bytes = static_cast<__u16>(script.size());
  e.args_bytes = static_cast<__u16>(args.size());
  return Forge(e, path + cwd + script + args);
}

void CheckExec(const Body& body, int flags) {
  const auto& [origin, process, parent, comm, path, cwd, script, args, args_truncated,
               args_unreadable, netns] = std::get<Exec>(body);
  EXPECT_EQ(origin, 0u);  // set by attribution
  EXPECT_EQ(process, DecodedProcess(100));
  EXPECT_EQ(parent, DecodedProcess(200));
  EXPECT_EQ(comm, "program");
  EXPECT_EQ(path, flags & EXEC_PATH_TRUNCATED ? ".../usr/bin/dash" : "/usr/bin/dash");
  EXPECT_EQ(cwd, flags & EXEC_CWD_TRUNCATED ? ".../srv/work" : "/srv/work");
  EXPECT_EQ(script, "./run.sh");
  if (flags & EXEC_ARGS_UNREADABLE)
    EXPECT_TRUE(args.empty());
  else
    EXPECT_EQ(args, (std::vector<std::string>{"sh", "-c", "", "x"}));
  EXPECT_EQ(args_truncated, (flags & EXEC_ARGS_TRUNCATED) != 0);
  EXPECT_EQ(args_unreadable, (flags & EXEC_ARGS_UNREADABLE) != 0);
  EXPECT_EQ(netns, 300u);
}

FieldCase ExecCase(const char* name, int flags) {
  return Case(name, ExecBytes(flags), [flags](const Body& body) { CheckExec(body, flags); });
}

FieldCase ExitCase(const char* name, int flags) {
  exit_event e = {};
  e.header = Header(EVENT_EXIT, flags);
  e.process = RawProcess(100);
  e.status = 256;
  return Case(name, Forge(e), [flags](const Body& body) {
    const auto& [origin, process, status, oom_killed] = std::get<Exit>(body);
    EXPECT_EQ(origin, 0u);
    EXPECT_EQ(process, DecodedProcess(100));
    EXPECT_EQ(status, 256u);
    EXPECT_EQ(oom_killed, (flags & EXIT_OOM) != 0);
  });
}

FieldCase ForkCase(const char* name, event_kind kind) {
  fork_event e = {};
  e.header = Header(kind);
  e.process = RawProcess(100);
  e.parent = RawProcess(200);
  SetComm(e.comm);
  e.netns = 300;
  return Case(name, Forge(e), [kind](const Body& body) {
    const auto& [origin, process, parent, comm, entered, netns] = std::get<Fork>(body);
    EXPECT_EQ(origin, 0u);
    EXPECT_EQ(process, DecodedProcess(100));
    EXPECT_EQ(parent, DecodedProcess(200));
    EXPECT_EQ(comm, "program");
    EXPECT_EQ(entered, kind == EVENT_ENTER);
    EXPECT_EQ(netns, 300u);
  });
}

constexpr uint64_t kGuestCookie = (uint64_t{1} << COOKIE_DEVICE_BIT) | 77;

FieldCase ConnectCase(const char* name, Transport transport, uint64_t cookie) {
  connect_event e = {};
  e.header = Header(EVENT_CONNECT);
  e.cookie = cookie;
  e.process = RawProcess(100);
  e.peer = RawPeer();
  SetComm(e.comm);
  e.transport = static_cast<__u32>(transport);
  e.netns = 300;
  return Case(name, Forge(e), [transport, cookie](const Body& body) {
    const auto& [origin, decoded_cookie, decoded_transport, process, comm, is_guest, peer, netns] =
        std::get<Connect>(body);
    EXPECT_EQ(origin, 0u);
    EXPECT_EQ(decoded_cookie, cookie);
    EXPECT_EQ(decoded_transport, transport);
    EXPECT_EQ(process, DecodedProcess(100));
    EXPECT_EQ(comm, "program");
    EXPECT_EQ(is_guest, cookie == kGuestCookie);
    EXPECT_EQ(peer, DecodedPeer());
    EXPECT_EQ(netns, 300u);
  });
}

FieldCase ResultCase(const char* name, Transport transport, int flags, uint32_t established) {
  connect_result_event e = {};
  e.header = Header(EVENT_CONNECT_RESULT, flags);
  e.cookie = 77;
  e.peer = RawPeer();
  e.transport = static_cast<__u32>(transport);
  e.error = 111;
  e.established = established;
  return Case(name, Forge(e), [=](const Body& body) {
    const auto& [cookie, decoded_transport, peer, is_established, returned, error] =
        std::get<ConnectResult>(body);
    EXPECT_EQ(cookie, 77u);
    EXPECT_EQ(decoded_transport, transport);
    EXPECT_EQ(peer, DecodedPeer());
    EXPECT_EQ(is_established, established != 0);
    EXPECT_EQ(returned, (flags & RESULT_RETURNED) != 0);
    EXPECT_EQ(error, 111);
  });
}

FieldCase DeniedCase(const char* name, Transport transport) {
  denied_event e = {};
  e.header = Header(EVENT_DENIED);
  e.cookie = 77;
  e.process = RawProcess(100);
  e.peer = RawPeer();
  SetComm(e.comm);
  e.transport = static_cast<__u32>(transport);
  return Case(name, Forge(e), [transport](const Body& body) {
    const auto& [origin, cookie, decoded_transport, process, comm, peer] = std::get<Denied>(body);
    EXPECT_EQ(origin, 0u);
    EXPECT_EQ(cookie, 77u);
    EXPECT_EQ(decoded_transport, transport);
    EXPECT_EQ(process, DecodedProcess(100));
    EXPECT_EQ(comm, "program");
    EXPECT_EQ(peer, DecodedPeer());
  });
}

FieldCase CloseCase(const char* name, Transport transport) {
  close_event e = {};
  e.header = Header(EVENT_CLOSE);
  e.cookie = 77;
  e.bytes[DIRECTION_SENT] = 1001;
  e.bytes[DIRECTION_RECEIVED] = 2002;
  e.transport = static_cast<__u32>(transport);
  e.error = 104;
  return Case(name, Forge(e), [transport](const Body& body) {
    const auto& [cookie, decoded_transport, sent, received, error] = std::get<Close>(body);
    EXPECT_EQ(cookie, 77u);
    EXPECT_EQ(decoded_transport, transport);
    EXPECT_EQ(sent, 1001u);
    EXPECT_EQ(received, 2002u);
    EXPECT_EQ(error, 104);
  });
}

struct DnsCaseOptions {
  event_kind kind = EVENT_DNS_QUERY;
  Transport transport = Transport::kUdp;
  int flags = 0;
  uint32_t payload_bytes = 4;
  bool is_cut = false;
};

FieldCase DnsCase(const char* name, const DnsCaseOptions& options) {
  dns_event e = {};
  e.header = Header(options.kind, options.flags);
  e.cookie = 77;
  e.process = RawProcess(100);
  e.server = RawPeer();
  e.transport = static_cast<__u32>(options.transport);
  e.payload_bytes = options.payload_bytes;
  e.data_bytes = 4;
  e.tcp_seq = 500;
  e.tcp_ack = 600;
  return Case(name, Forge(e, "data, then unused bytes"), [options](const Body& body) {
    const auto& [origin, cookie, is_query, transport, process, thread, server, redirected, denied,
                 local_server, is_cut, payload_bytes, tcp_seq, tcp_ack, data] =
        std::get<DnsPayload>(body);
    EXPECT_EQ(origin, 0u);
    EXPECT_EQ(cookie, 77u);
    EXPECT_EQ(is_query, options.kind == EVENT_DNS_QUERY);
    EXPECT_EQ(transport, options.transport);
    EXPECT_EQ(process, DecodedProcess(100));
    EXPECT_EQ(thread, 101u);
    EXPECT_EQ(server, DecodedPeer());
    EXPECT_EQ(redirected, (options.flags & DNS_REDIRECTED) != 0);
    EXPECT_EQ(denied, (options.flags & DNS_DENIED) != 0);
    EXPECT_EQ(local_server, (options.flags & DNS_LOCAL) != 0);
    EXPECT_EQ(is_cut, options.is_cut);
    EXPECT_EQ(payload_bytes, options.payload_bytes);
    EXPECT_EQ(tcp_seq, 500u);
    EXPECT_EQ(tcp_ack, 600u);
    EXPECT_EQ(data, "data");
  });
}

FieldCase NftCase(const char* name, uint32_t raw_result, NftChange::Result expected) {
  nft_event e = {};
  e.header = Header(EVENT_NFT);
  e.process = RawProcess(100);
  e.actor = 55;
  e.netns = 300;
  e.error = -17;
  e.result = raw_result;
  SetComm(e.comm);
  return Case(name, Forge(e), [expected](const Body& body) {
    const auto& [result, error, netns, process, thread, comm, actor_member, actor, sidecar,
                 actor_id] = std::get<NftChange>(body);
    EXPECT_EQ(result, expected);
    EXPECT_EQ(error, 17);
    EXPECT_EQ(netns, 300u);
    EXPECT_EQ(process, DecodedProcess(100));
    EXPECT_EQ(thread, 101u);
    EXPECT_EQ(comm, "program");
    EXPECT_EQ(actor_member, 55u);
    EXPECT_EQ(actor, 0u);  // set by the pipeline
    EXPECT_FALSE(sidecar);
    EXPECT_EQ(actor_id, "");
  });
}

cgroup_event CgroupRecord(const std::string& path) {
  cgroup_event e = {};
  e.header = Header(EVENT_CGROUP_CREATED);
  e.path_bytes = static_cast<__u32>(path.size());
  std::copy(path.begin(), path.end(), e.path);
  return e;
}

std::vector<FieldCase> AllFieldCases() {
  const DnsCaseOptions udp_answer = {.kind = EVENT_DNS_ANSWER};
  return {
      ExecCase("exec", EXEC_SCRIPT),
      ExecCase("exec, arguments truncated", EXEC_ARGS_TRUNCATED),
      ExecCase("exec, arguments unreadable", EXEC_ARGS_UNREADABLE),
      ExecCase("exec, path truncated", EXEC_PATH_TRUNCATED),
      ExecCase("exec, working directory truncated", EXEC_CWD_TRUNCATED),
      ExitCase("exit", 0),
      ExitCase("exit, out of memory", EXIT_OOM),
      ForkCase("fork", EVENT_FORK),
      ForkCase("enter", EVENT_ENTER),
      ConnectCase("connect, TCP", Transport::kTcp, 77),
      ConnectCase("connect, UDP", Transport::kUdp, 77),
      ConnectCase("connect, guest", Transport::kTcp, kGuestCookie),
      ResultCase("result, TCP failed", Transport::kTcp, 0, 0),
      ResultCase("result, UDP returned", Transport::kUdp, RESULT_RETURNED, 0),
      ResultCase("result, established", Transport::kTcp, 0, 1),
      DeniedCase("denied, TCP", Transport::kTcp),
      DeniedCase("denied, UDP", Transport::kUdp),
      CloseCase("close, TCP", Transport::kTcp),
      CloseCase("close, UDP", Transport::kUdp),
      DnsCase("DNS query", {}),
      DnsCase("DNS answer", udp_answer),
      DnsCase("DNS redirected", {.flags = DNS_REDIRECTED}),
      DnsCase("DNS denied", {.flags = DNS_DENIED}),
      DnsCase("DNS local server", {.kind = EVENT_DNS_ANSWER, .flags = DNS_LOCAL}),
      DnsCase("DNS cut datagram", {.payload_bytes = 5, .is_cut = true}),
      // A TCP segment is not cut: the rest of it is in the next record.
      DnsCase("DNS over TCP", {.transport = Transport::kTcp, .payload_bytes = 5}),
      NftCase("nft committed", NFT_COMMITTED, NftChange::Result::kCommitted),
      NftCase("nft aborted", NFT_ABORTED, NftChange::Result::kAborted),
      NftCase("nft rejected", NFT_REJECTED, NftChange::Result::kRejected),
      NftCase("nft sent", NFT_SENT, NftChange::Result::kSent),
      Case("nft loaded", ForgeHeader(Header(EVENT_NFT_LOADED)),
           [](const Body& body) { EXPECT_TRUE(std::holds_alternative<NftLoaded>(body)); }),
      Case("cgroup created", Forge(CgroupRecord("/kubepods/pod1")),
           [](const Body& body) {
             const auto& [path] = std::get<CgroupCreated>(body);
             EXPECT_EQ(path, "/kubepods/pod1");
           }),
      Case("cgroup removed", ForgeHeader(Header(EVENT_CGROUP_REMOVED)),
           [](const Body& body) { EXPECT_TRUE(std::holds_alternative<CgroupRemoved>(body)); }),
  };
}

TEST(Decode, EveryFieldOfEveryKindIsDecoded) {
  for (const FieldCase& field_case : AllFieldCases()) {
    SCOPED_TRACE(field_case.name);
    const auto event = Decoded(field_case.record);
    ASSERT_TRUE(event.ok()) << event.status();
    const auto& [time_ns, member, cgroup_id, attributed_by, kind, body] = *event;
    EXPECT_EQ(time_ns, 11u);
    EXPECT_EQ(member, 12u);
    EXPECT_EQ(cgroup_id, 13u);
    EXPECT_EQ(attributed_by, AttributionBasis::kCgroup);
    EXPECT_EQ(kind, OwnerOf(field_case.record)->kind);
    field_case.check(*event);
  }
}

TEST(Decode, EveryKindIsInTheTable) {
  std::set<uint16_t> kinds;
  for (const FieldCase& field_case : AllFieldCases())
    kinds.insert(OwnerOf(field_case.record)->kind);
  for (uint16_t kind = EVENT_NONE + 1; kind < EVENT_KIND_COUNT; ++kind)
    EXPECT_TRUE(kinds.contains(kind)) << "no test decodes " << KindName(kind);
}

TEST(Decode, RecordOfEveryKindThatIsTooShortIsAnError) {
  for (const FieldCase& field_case : AllFieldCases()) {
    const Bytes& record = field_case.record;
    for (size_t size = 0; size < record.size(); ++size)
      EXPECT_FALSE(Decoded(std::span(record).first(size)).ok()) << field_case.name << ", " << size;
  }
}

TEST(Decode, BytesAfterTheRecordAreIgnored) {
  for (const FieldCase& field_case : AllFieldCases()) {
    SCOPED_TRACE(field_case.name);
    Bytes record = field_case.record;
    record.resize(record.size() + 40, std::byte{0xee});
    const auto event = Decoded(record);
    ASSERT_TRUE(event.ok()) << event.status();
    field_case.check(*event);
  }
}

TEST(Decode, UnknownKindIsAnError) {
  for (const uint16_t kind : {uint16_t{EVENT_NONE}, uint16_t{EVENT_KIND_COUNT}, uint16_t{999}})
    EXPECT_FALSE(Decoded(ForgeHeader(Header(static_cast<event_kind>(kind)))).ok()) << kind;
}

TEST(Decode, ExecWithLengthsOverItsSizeIsAnError) {
  exec_event e = {};
  e.header = Header(EVENT_EXEC);
  e.args_bytes = 1000;
  EXPECT_FALSE(Decoded(Forge(e, std::string(999, 'a'))).ok());
  // The sum of the lengths exceeds 16 bits.
  e.path_bytes = 60000;
  e.cwd_bytes = 60000;
  e.script_bytes = 60000;
  EXPECT_FALSE(Decoded(Forge(e, std::string(60000, 'a'))).ok());
}

TEST(Decode, DnsWithLengthOverItsSizeIsAnError) {
  dns_event e = {};
  e.header = Header(EVENT_DNS_QUERY);
  e.data_bytes = 1;
  EXPECT_FALSE(Decoded(Forge(e)).ok());
}

TEST(Decode, DnsWithUnknownTransportIsAnError) {
  dns_event e = {};
  e.header = Header(EVENT_DNS_QUERY);
  e.transport = TRANSPORT_COUNT;
  EXPECT_FALSE(Decoded(Forge(e)).ok());
}

TEST(Decode, NftWithUnknownResultIsAnError) {
  nft_event e = {};
  e.header = Header(EVENT_NFT);
  e.result = NFT_SENT + 1;
  EXPECT_FALSE(Decoded(Forge(e)).ok());
}

TEST(Decode, NftErrorOutsideErrnoRangeIsAnError) {
  nft_event e = {};
  e.header = Header(EVENT_NFT);
  for (const int32_t error : {-4096, 4096, std::numeric_limits<int32_t>::min()}) {
    e.error = error;
    EXPECT_FALSE(Decoded(Forge(e)).ok()) << error;
  }
  e.error = -4095;
  EXPECT_TRUE(Decoded(Forge(e)).ok());
}

TEST(Decode, CgroupPathThatMayBeTruncatedIsEmpty) {
  // The kernel cuts a path to CGROUP_PATH_BYTES - 1. A path of that length may be another cgroup's.
  const std::string longest(CGROUP_PATH_BYTES - 2, 'a');
  auto event = Decoded(Forge(CgroupRecord(longest)));
  ASSERT_TRUE(event.ok());
  EXPECT_EQ(std::get<CgroupCreated>(event->body).path, longest);
  event = Decoded(Forge(CgroupRecord(longest + "a")));
  ASSERT_TRUE(event.ok());
  EXPECT_EQ(std::get<CgroupCreated>(event->body).path, "");
  cgroup_event e = CgroupRecord("");
  e.path_bytes = CGROUP_PATH_BYTES + 1;
  EXPECT_FALSE(Decoded(Forge(e)).ok());
}

Exec DecodedExec(const std::string& path, int flags = 0) {
  exec_event e = {};
  e.header = Header(EVENT_EXEC, flags);
  e.path_bytes = static_cast<__u16>(path.size());
  return std::get<Exec>(Decoded(Forge(e, path))->body);
}

TEST(Decode, EmptyPathIsTheRoot) {
  EXPECT_EQ(DecodedExec("").path, "/");
  EXPECT_EQ(DecodedExec("", EXEC_PATH_TRUNCATED).path, "...");
}

TEST(Decode, MemfdPathHasNoSlash) {
  EXPECT_EQ(DecodedExec(std::string("memfd:hidden\0", 13)).path, "memfd:hidden");
  EXPECT_EQ(DecodedExec(std::string("memfd:a\0tmp\0", 12)).path, "/tmp/memfd:a");
}

TEST(Decode, CommWithoutNulIsRead) {
  fork_event e = {};
  e.header = Header(EVENT_FORK);
  std::memset(e.comm, 'c', sizeof(e.comm));
  EXPECT_EQ(std::get<Fork>(Decoded(Forge(e))->body).comm, std::string(COMM_BYTES, 'c'));
}

TEST(Decode, AttributionBasisComesFromTheFlags) {
  const auto basis = [](int flags) {
    exit_event e = {};
    e.header = Header(EVENT_EXIT, flags);
    return Decoded(Forge(e))->attributed_by;
  };
  EXPECT_EQ(basis(0), AttributionBasis::kCgroup);
  EXPECT_EQ(basis(EVENT_BY_NAMESPACE), AttributionBasis::kNamespace);
  EXPECT_EQ(basis(EVENT_BY_PROCESS), AttributionBasis::kProcess);
}

TEST(Decode, RandomBytesDoNotCrash) {
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

TEST(OwnerOf, MalformedRecordHasKindAndMember) {
  exec_event e = {};
  e.header = Header(EVENT_EXEC);
  e.args_bytes = 1000;
  const Bytes record = Forge(e);
  ASSERT_FALSE(Decoded(record).ok());
  EXPECT_EQ(OwnerOf(record)->member, 12u);
  EXPECT_EQ(OwnerOf(record)->kind, EVENT_EXEC);
  EXPECT_FALSE(OwnerOf(std::span(record).first(sizeof(event_header) - 1)).has_value());
}

TEST(KindName, EveryKindHasItsOwnName) {
  std::set<std::string> names;
  for (uint16_t kind = EVENT_NONE + 1; kind < EVENT_KIND_COUNT; ++kind)
    EXPECT_TRUE(names.insert(KindName(kind)).second) << kind;
  EXPECT_FALSE(names.contains("unknown"));
  EXPECT_STREQ(KindName(EVENT_NONE), "unknown");
  EXPECT_STREQ(KindName(EVENT_KIND_COUNT), "unknown");
}

}  // namespace
}  // namespace sandpiper
