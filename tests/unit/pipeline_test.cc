// SPDX-License-Identifier: Apache-2.0
#include "userspace/collector/pipeline.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "bpf/events.h"
#include "tests/unit/fake_kernel_tables.h"
#include "userspace/base/clock.h"

namespace sandpiper {
namespace {

using testing::FakeCgroups;
using testing::FakeKernelTables;
using testing::FakeProbeStatus;

constexpr uint64_t kFound = 1'000'000;  // the first member that the BPF programs number

class PipelineTest : public ::testing::Test {
 protected:
  PipelineTest() {
    options_.cgroups = cgroups_.hierarchy();
    options_.session = {.dns_timeout_ns = kSecond, .dns_ports = {53}};
    options_.discovery.rules = {*MakeRule(SelectionRule::By::kCgroup, "^/box/(?P<id>[^/]+)$")};
    options_.open_links = [this](const std::string&) -> absl::StatusOr<NamespaceLinks> {
      return NamespaceLinks{.changes = [this] { return std::exchange(links_, {}); },
                            .run_inside =
                                [](const std::function<void()>& work) {
                                  work();
                                  return absl::OkStatus();
                                }};
    };
    options_.namespace_lookup = {.open = [](pid_t, uint32_t) { return UniqueFd(); },
                                 .is_shared_with_parent = [](pid_t, uint32_t) { return false; }};
  }
  Pipeline& pipeline() {
    if (!pipeline_)
      pipeline_ = std::make_unique<Pipeline>(
          &tables_, &probes_, options_,
          Pipeline::Outlets{
              .records = [this](LogRecord record) { records_.push_back(std::move(record)); },
              .warn = [this](const std::string& warning) { warnings_.push_back(warning); },
              .on_sandbox_end = [this](uint64_t serial, const MetricSnapshot&,
                                       uint64_t) { ended_.push_back(serial); }});
    return *pipeline_;
  }
  // Adds a sandbox that the user named. Returns the cgroup's id.
  uint64_t Add(const std::string& cgroup, const std::string& id) {
    const uint64_t cgroup_id = cgroups_.Create(cgroup);
    EXPECT_TRUE(pipeline().AddSandbox({.id = id, .cgroup = cgroups_.mount() + cgroup}).ok());
    return cgroup_id;
  }
  template <typename T>
  void Feed(T fixed, const std::string& tail = "") {
    fixed.header.size = static_cast<uint32_t>(sizeof(T) + tail.size());
    std::vector<std::byte> bytes(fixed.header.size);
    std::memcpy(bytes.data(), &fixed, sizeof(T));
    std::memcpy(bytes.data() + sizeof(T), tail.data(), tail.size());
    pipeline().OnRecord(bytes);
  }
  static event_header Header(event_kind kind, uint64_t member, uint64_t time_ns,
                             uint64_t cgroup_id = 0) {
    event_header out = {};
    out.kind = static_cast<uint16_t>(kind);
    out.member = member;
    out.time_ns = time_ns;
    out.cgroup_id = cgroup_id;
    return out;
  }
  void FeedExec(uint64_t member, uint64_t time_ns, const std::string& path) {
    exec_event event = {};
    event.header = Header(EVENT_EXEC, member, time_ns);
    event.process = {.tgid = 7, .tid = 7, .start_ns = 7};
    event.path_bytes = static_cast<uint16_t>(path.size());
    Feed(event, path);
  }
  void FeedConnect(uint64_t member, uint64_t time_ns, uint64_t cookie) {
    connect_event event = {};
    event.header = Header(EVENT_CONNECT, member, time_ns);
    event.cookie = cookie;
    event.process = {.tgid = 7, .tid = 7, .start_ns = 7};
    const uint8_t address[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 9};
    std::memcpy(event.peer.address, address, sizeof(address));
    event.peer.port = 443;
    Feed(event);
  }
  void FeedRemoved(uint64_t member, uint64_t time_ns, uint64_t cgroup_id) {
    std::vector<std::byte> bytes(sizeof(event_header));
    event_header header = Header(EVENT_CGROUP_REMOVED, member, time_ns, cgroup_id);
    header.size = sizeof(header);
    std::memcpy(bytes.data(), &header, sizeof(header));
    pipeline().OnRecord(bytes);
  }
  // The BPF programs found and watched a new cgroup.
  void FeedCreated(uint64_t member, uint64_t time_ns, const std::string& cgroup) {
    const uint64_t id = cgroups_.Create(cgroup);
    tables_.counters[member] = {};
    tables_.owners[id] = {.member = member, .sandbox = member};
    cgroup_event event = {};
    event.header = Header(EVENT_CGROUP_CREATED, member, time_ns, id);
    event.path_bytes = static_cast<uint32_t>(cgroup.size());
    std::memcpy(event.path, cgroup.data(), cgroup.size());
    Feed(event);
  }
  // Removes the cgroup and lets the member end: its second is over and its events are processed.
  void End(uint64_t member, const std::string& cgroup) {
    const uint64_t id = cgroups_.Create(cgroup);
    cgroups_.Remove(cgroup);
    FeedRemoved(member, now_, id);
    pipeline().DrainUntil(now_);
    pipeline().Poll(now_ + 2 * kSecond);
    pipeline().DrainUntil(BootNow());
  }
  static std::string Get(const LogRecord& record, const std::string& key) {
    for (const Attribute& attribute : record.attributes) {
      if (attribute.key != key)
        continue;
      if (const auto* text = std::get_if<SharedText>(&attribute.value))
        return std::string(text->view());
      if (const auto* number = std::get_if<int64_t>(&attribute.value))
        return std::to_string(*number);
    }
    return "";
  }
  // The values of the attribute in all records of this event.
  std::vector<std::string> Values(const std::string& event, const std::string& key) const {
    std::vector<std::string> out;
    for (const LogRecord& record : records_) {
      if (record.event == event)
        out.push_back(Get(record, key));
    }
    return out;
  }
  size_t Count(const std::string& event) const { return Values(event, "").size(); }
  using Texts = std::vector<std::string>;

  uint64_t now_ = BootNow();
  Pipeline::Options options_;
  FakeCgroups cgroups_;
  FakeKernelTables tables_;
  FakeProbeStatus probes_;
  std::vector<LinkChange> links_;
  std::vector<LogRecord> records_;
  Texts warnings_;
  std::vector<uint64_t> ended_;         // serials
  std::unique_ptr<Pipeline> pipeline_;  // last: it uses the others
};

TEST_F(PipelineTest, NamedSandboxGetsItsEvents) {
  Add("/named", "sb");
  FeedExec(1, now_, "/bin/true");
  pipeline().DrainUntil(now_);
  EXPECT_EQ(Values("process.exec", "sandbox_id"), Texts{"sb"});
  EXPECT_EQ(pipeline().unattributed(), 0u);
}

TEST_F(PipelineTest, MissingCgroupIsAnError) {
  EXPECT_TRUE(absl::IsNotFound(
      pipeline().AddSandbox({.id = "sb", .cgroup = cgroups_.mount() + "/none"}).status()));
}

TEST_F(PipelineTest, FullTableIsAnError) {
  tables_.capacity = 0;
  cgroups_.Create("/named");
  EXPECT_TRUE(absl::IsResourceExhausted(
      pipeline().AddSandbox({.id = "sb", .cgroup = cgroups_.mount() + "/named"}).status()));
}

TEST_F(PipelineTest, SidecarIsPartOfTheSandbox) {
  cgroups_.Create("/app");
  cgroups_.Create("/egress");
  ASSERT_TRUE(pipeline()
                  .AddSandbox({.id = "sb",
                               .cgroup = cgroups_.mount() + "/app",
                               .sidecars = {cgroups_.mount() + "/egress"}})
                  .ok());
  FeedExec(1, now_, "/bin/app");
  FeedExec(2, now_, "/bin/egress");
  pipeline().DrainUntil(now_);
  EXPECT_EQ(pipeline().sandboxes().size(), 1u);
  EXPECT_EQ(Values("process.exec", "sandbox.role"), (Texts{"app", "sidecar"}));
}

TEST_F(PipelineTest, EventsAreDeliveredInTheOrderOfTheirTime) {
  Add("/named", "sb");
  FeedExec(1, now_ + 2, "second");
  FeedExec(1, now_ + 1, "first");
  pipeline().DrainUntil(now_ + 2);
  EXPECT_EQ(Values("process.exec", "process.executable.path"), (Texts{"/first", "/second"}));
}

TEST_F(PipelineTest, YoungerEventsWaitForTheNextDrain) {
  Add("/named", "sb");
  FeedExec(1, now_ + 5, "/bin/true");
  pipeline().DrainUntil(now_ + 4);
  EXPECT_EQ(Count("process.exec"), 0u);
  EXPECT_LE(pipeline().NextDeadline(), now_ + 5);
  pipeline().DrainUntil(now_ + 5);
  EXPECT_EQ(Count("process.exec"), 1u);
}

TEST_F(PipelineTest, EventOfAnUnknownMemberIsUnattributed) {
  FeedExec(99, now_, "/bin/true");
  pipeline().DrainUntil(now_);
  EXPECT_EQ(pipeline().unattributed(), 1u);
  EXPECT_TRUE(records_.empty());
}

TEST_F(PipelineTest, MalformedRecordIsALossOfItsSandbox) {
  Add("/named", "sb");
  std::vector<std::byte> bytes(sizeof(event_header));
  event_header header = Header(EVENT_EXEC, 1, now_);
  header.size = sizeof(header);
  std::memcpy(bytes.data(), &header, sizeof(header));
  EXPECT_EQ(pipeline().OnRecord(bytes), 0u);
  EXPECT_EQ(pipeline().unattributed(), 0u);
  pipeline().CloseWindow(now_);
  EXPECT_EQ(Values("sandpiper.loss", "sandpiper.dropped.malformed_record.exec"), Texts{"1"});
}

TEST_F(PipelineTest, MalformedRecordWithoutSandboxIsUnattributed) {
  const std::vector<std::byte> bytes(3);
  pipeline().OnRecord(bytes);
  EXPECT_EQ(pipeline().unattributed(), 1u);
}

TEST_F(PipelineTest, DroppedEventsAreALossOfTheirSandbox) {
  Add("/one", "one");
  Add("/two", "two");
  tables_.counters[2].dropped[EVENT_CONNECT] = 4;
  pipeline().CloseWindow(now_);
  EXPECT_EQ(Values("sandpiper.loss", "sandbox_id"), Texts{"two"});
  EXPECT_EQ(Values("sandpiper.loss", "sandpiper.dropped.ring_full.connect"), Texts{"4"});
}

TEST_F(PipelineTest, FoundCgroupBecomesASandbox) {
  FeedCreated(kFound, now_, "/box/one");
  FeedExec(kFound, now_ + 1, "/bin/true");
  pipeline().DrainUntil(now_ + 1);
  EXPECT_EQ(Values("process.exec", "sandbox_id"), Texts{"one"});
}

TEST_F(PipelineTest, ExistingCgroupBecomesASandbox) {
  const uint64_t id = cgroups_.Create("/box/one");
  pipeline().Discover(std::chrono::milliseconds(0));
  ASSERT_EQ(pipeline().sandboxes().size(), 1u);
  EXPECT_NE(tables_.MemberOf(id), 0u);
}

TEST_F(PipelineTest, NamedCgroupIsNotDiscoveredAgain) {
  Add("/box/one", "mine");
  pipeline().Discover(std::chrono::milliseconds(0));
  ASSERT_EQ(pipeline().sandboxes().size(), 1u);
  EXPECT_EQ(pipeline().sandboxes().begin()->second->sandbox().id, "mine");
}

TEST_F(PipelineTest, CgroupThatWasRemovedMeanwhileKeepsItsEvents) {
  FeedCreated(kFound, now_, "/box/one");
  FeedExec(kFound, now_ + 1, "/bin/true");
  cgroups_.Remove("/box/one");
  pipeline().DrainUntil(now_ + 1);
  EXPECT_EQ(Values("process.exec", "sandbox_id"), Texts{"one"});
  pipeline().Poll(BootNow() + 2 * kSecond);
  pipeline().DrainUntil(BootNow());
  EXPECT_EQ(ended_.size(), 1u);
}

TEST_F(PipelineTest, SandboxEndsAfterItsCgroupWasRemoved) {
  Add("/named", "sb");
  End(1, "/named");
  EXPECT_EQ(ended_, std::vector<uint64_t>{1});
  EXPECT_EQ(Count("sandbox.stopped"), 1u);
  EXPECT_TRUE(pipeline().sandboxes().empty());
  EXPECT_TRUE(tables_.owners.empty());
  EXPECT_TRUE(tables_.counters.empty());
}

TEST_F(PipelineTest, SandboxDoesNotEndBeforeItsEventsWereProcessed) {
  const uint64_t id = Add("/named", "sb");
  cgroups_.Remove("/named");
  FeedRemoved(1, now_, id);
  pipeline().DrainUntil(now_);
  pipeline().Poll(now_ + 2 * kSecond);
  // This event is older than the end of watching, and still queued.
  FeedExec(1, now_ + 1, "/bin/late");
  EXPECT_TRUE(ended_.empty());
  pipeline().DrainUntil(BootNow());
  ASSERT_EQ(ended_.size(), 1u);
  ASSERT_EQ(Count("process.exec"), 1u);
  EXPECT_EQ(records_.back().event, "sandbox.stopped");
}

TEST_F(PipelineTest, RemovedInnerCgroupDoesNotEndTheSandbox) {
  Add("/named", "sb");
  const uint64_t inner = cgroups_.Create("/named/inner");
  FeedRemoved(1, now_, inner);
  pipeline().DrainUntil(now_);
  pipeline().Poll(now_ + 2 * kSecond);
  pipeline().DrainUntil(BootNow());
  EXPECT_TRUE(ended_.empty());
}

TEST_F(PipelineTest, SandboxLivesWhileOneOfItsCgroupsExists) {
  cgroups_.Create("/app");
  cgroups_.Create("/egress");
  ASSERT_TRUE(pipeline()
                  .AddSandbox({.id = "sb",
                               .cgroup = cgroups_.mount() + "/app",
                               .sidecars = {cgroups_.mount() + "/egress"}})
                  .ok());
  End(1, "/app");
  EXPECT_TRUE(ended_.empty());
  End(2, "/egress");
  EXPECT_EQ(ended_.size(), 1u);
}

TEST_F(PipelineTest, LostRemovalIsDetectedAtTheEndOfTheWindow) {
  Add("/named", "sb");
  cgroups_.Remove("/named");
  pipeline().CloseWindow(now_);
  pipeline().Poll(now_ + 2 * kSecond);
  pipeline().DrainUntil(BootNow());
  EXPECT_EQ(ended_.size(), 1u);
}

TEST_F(PipelineTest, SameIdAfterTheRemovalIsANewSandbox) {
  const uint64_t id = Add("/box/one", "one");
  cgroups_.Remove("/box/one");
  FeedRemoved(1, now_, id);
  FeedCreated(kFound, now_ + 1, "/box/one");
  FeedExec(1, now_ + 2, "/bin/old");
  FeedExec(kFound, now_ + 3, "/bin/new");
  pipeline().DrainUntil(now_ + 3);
  ASSERT_EQ(pipeline().sandboxes().size(), 2u);
  for (const auto& [serial, sandbox] : pipeline().sandboxes())
    EXPECT_EQ(sandbox->delivery().delivered[EVENT_EXEC], 1u) << serial;
  pipeline().Poll(now_ + 2 * kSecond);
  pipeline().DrainUntil(BootNow());
  EXPECT_EQ(ended_, std::vector<uint64_t>{1});
  ASSERT_EQ(pipeline().sandboxes().size(), 1u);
}

TEST_F(PipelineTest, SameIdWhileACgroupExistsIsTheSameSandbox) {
  FeedCreated(kFound, now_, "/box/one");
  pipeline().DrainUntil(now_);
  Add("/elsewhere", "one");
  EXPECT_EQ(pipeline().sandboxes().size(), 1u);
}

TEST_F(PipelineTest, SandboxWithoutRoomForItsMemberEndsAtOnce) {
  FeedCreated(kFound, now_, "/box/one");
  tables_.counters.clear();
  tables_.capacity = 0;
  pipeline().DrainUntil(now_);
  EXPECT_EQ(ended_.size(), 1u);
  ASSERT_EQ(warnings_.size(), 1u);
  EXPECT_NE(warnings_[0].find("cannot watch the sandbox \"one\""), std::string::npos);
}

TEST_F(PipelineTest, DeviceIsASandboxWhileItExists) {
  links_ = {{.ifindex = 3, .name = "tap0"}};
  ASSERT_TRUE(pipeline().WatchDevice({.name = "tap*"}).ok());
  EXPECT_TRUE(tables_.devices.contains(3));
  ASSERT_EQ(pipeline().sandboxes().size(), 1u);
  EXPECT_EQ(pipeline().sandboxes().begin()->second->sandbox().runtime, "device");
  links_ = {{.ifindex = 3, .name = "tap0", .removed = true}};
  pipeline().Poll(now_);
  pipeline().Poll(BootNow() + 2 * kSecond);
  pipeline().DrainUntil(BootNow());
  EXPECT_EQ(ended_.size(), 1u);
}

TEST_F(PipelineTest, DeviceThatCannotBeWatchedIsAWarning) {
  tables_.device_error = absl::PermissionDeniedError("tc failed");
  links_ = {{.ifindex = 3, .name = "tap0"}};
  ASSERT_TRUE(pipeline().WatchDevice({.name = "tap0"}).ok());
  EXPECT_EQ(warnings_, Texts{"cannot watch the device \"tap0\": tc failed"});
}

TEST_F(PipelineTest, ClosedSocketWithDroppedEventEndsItsConnection) {
  Add("/named", "sb");
  FeedConnect(1, now_, 50);
  pipeline().DrainUntil(now_);
  EXPECT_EQ(pipeline().open_connections(), 1u);
  tables_.lists_all_sockets = true;
  tables_.counters[1].dropped[EVENT_CLOSE] = 1;
  tables_.sockets = {{.cookie = 50}};
  pipeline().CloseWindow(now_ + 100 * kSecond);
  EXPECT_EQ(pipeline().open_connections(), 1u);
  tables_.sockets = {};
  pipeline().CloseWindow(now_ + 200 * kSecond);
  pipeline().CloseWindow(now_ + 300 * kSecond);
  EXPECT_EQ(pipeline().open_connections(), 0u);
}

TEST_F(PipelineTest, LoadedNftIsAttached) {
  std::vector<std::byte> bytes(sizeof(event_header));
  event_header header = Header(EVENT_NFT_LOADED, 0, now_);
  header.size = sizeof(header);
  std::memcpy(bytes.data(), &header, sizeof(header));
  pipeline().OnRecord(bytes);
  pipeline().DrainUntil(now_);
  EXPECT_EQ(probes_.nft_loads, 1);
  EXPECT_EQ(pipeline().unattributed(), 0u);
}

TEST_F(PipelineTest, ShutdownEndsEverySandboxOnce) {
  Add("/one", "one");
  Add("/two", "two");
  pipeline().Shutdown(now_);
  EXPECT_EQ(Values("sandbox.stopped", "sandbox_id"), (Texts{"one", "two"}));
}

TEST_F(PipelineTest, DescriptionHasSandboxesAndUnattributedEvents) {
  Add("/named", "sb");
  FeedExec(99, now_, "/bin/true");
  pipeline().DrainUntil(now_);
  const v1::ListSandboxesResponse described = pipeline().Describe(1);
  ASSERT_EQ(described.sandboxes_size(), 1);
  EXPECT_EQ(described.sandboxes(0).id(), "sb");
  EXPECT_EQ(described.sandboxes(0).members_size(), 1);
  EXPECT_EQ(described.unattributed(), 1u);
}

TEST_F(PipelineTest, ProbeStatesIncludeTheMemoryReadings) {
  probes_.probe_states = {{.probe = "packet", .mechanism = "cgroup", .reason = ""}};
  const std::vector<ProbeState> states = pipeline().ProbeStates();
  ASSERT_EQ(states.size(), 2u);
  EXPECT_EQ(states[0].probe, "packet");
  EXPECT_EQ(states[1].probe, "resources");
}

}  // namespace
}  // namespace sandpiper
