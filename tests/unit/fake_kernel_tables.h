// SPDX-License-Identifier: Apache-2.0
// The kernel's tables in memory, a probe status that a test sets, and a folder as cgroup hierarchy.
#ifndef SANDPIPER_TESTS_UNIT_FAKE_KERNEL_TABLES_H_
#define SANDPIPER_TESTS_UNIT_FAKE_KERNEL_TABLES_H_

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "userspace/attribution/cgroup_hierarchy.h"
#include "userspace/probe/kernel_tables.h"
#include "userspace/probe/probe_status.h"

namespace sandpiper::testing {

class FakeKernelTables : public KernelTables {
 public:
  struct NamespaceOwner {
    uint64_t member;
    uint64_t sandbox;
    NamespaceUse use;
  };

  absl::Status AddMember(uint64_t member) override {
    if (counters.contains(member))
      return absl::AlreadyExistsError("member");
    if (counters.size() >= capacity)
      return absl::ResourceExhaustedError("the table of members is full");
    counters[member] = {};
    return absl::OkStatus();
  }
  void RemoveMember(uint64_t member) override { counters.erase(member); }
  size_t members_max() const override { return capacity; }
  absl::StatusOr<member_counters> ReadCounters(uint64_t member) const override {
    const auto known = counters.find(member);
    if (known == counters.end())
      return absl::NotFoundError("member");
    return known->second;
  }

  absl::Status WatchCgroup(uint64_t cgroup_id, const owner& owner, IfWatched if_watched) override {
    if (!watch_error.ok())
      return watch_error;
    if (if_watched == IfWatched::kKeepOwner && owners.contains(cgroup_id))
      return absl::AlreadyExistsError("cgroup");
    owners[cgroup_id] = owner;
    return absl::OkStatus();
  }
  absl::StatusOr<owner> OwnerOf(uint64_t cgroup_id) const override {
    const auto known = owners.find(cgroup_id);
    if (known == owners.end())
      return absl::NotFoundError("cgroup");
    return known->second;
  }
  void UnwatchCgroup(uint64_t cgroup_id, uint64_t member) override {
    if (const auto known = owners.find(cgroup_id);
        known != owners.end() && known->second.member == member)
      owners.erase(known);
  }
  uint64_t new_cgroups_dropped() const override { return dropped_cgroups; }

  absl::Status WatchDevice(unsigned ifindex, const owner& owner) override {
    if (!device_error.ok())
      return device_error;
    devices[ifindex] = owner;
    return absl::OkStatus();
  }

  void WatchNamespace(uint32_t netns, const owner& owner, NamespaceUse use) override {
    namespaces.insert_or_assign(netns, NamespaceOwner{owner.member, owner.sandbox, use});
  }
  void ForgetNamespace(uint32_t netns) override {
    namespaces.erase(netns);
    forgotten_namespaces.push_back(netns);
  }

  UdpFlowCounts ReadUdpFlow(uint64_t cookie, const Endpoint&) const override {
    const auto known = udp_flows.find(cookie);
    return known == udp_flows.end() ? UdpFlowCounts() : known->second;
  }
  std::vector<SocketBytes> ReadSockets() const override { return sockets; }
  bool sees_all_sockets() const override { return lists_all_sockets; }

  // The member that the cgroup's events are attributed to, 0 if it is unwatched.
  uint64_t MemberOf(uint64_t cgroup_id) const {
    const auto known = owners.find(cgroup_id);
    return known == owners.end() ? 0 : known->second.member;
  }

  // Tests set and check these.
  size_t capacity = 1'000;
  absl::Status watch_error;
  absl::Status device_error;
  uint64_t dropped_cgroups = 0;
  bool lists_all_sockets = false;
  std::map<uint64_t, member_counters> counters;  // by member
  std::map<uint64_t, owner> owners;              // by cgroup id
  std::map<unsigned, owner> devices;             // by index
  std::map<uint32_t, NamespaceOwner> namespaces;
  std::vector<uint32_t> forgotten_namespaces;
  std::map<uint64_t, UdpFlowCounts> udp_flows;  // by cookie
  std::vector<SocketBytes> sockets;
};

class FakeProbeStatus : public ProbeStatus {
 public:
  const std::vector<ProbeState>& states() const override { return probe_states; }
  std::vector<ProgramRuns> ReadRuns() const override { return runs; }
  bool nf_tables_is_loaded() const override { return false; }
  void OnNftLoaded() override { ++nft_loads; }

  std::vector<ProbeState> probe_states;
  std::vector<ProgramRuns> runs;
  int nft_loads = 0;
};

// A temporary folder in place of cgroupfs. The id of a cgroup is its inode number, unless a test
// sets another one. Removed with this object.
class FakeCgroups {
 public:
  FakeCgroups()
      : mount_(std::filesystem::temp_directory_path() /
               ("cgroups-" + std::to_string(getpid()) + "-" +
                ::testing::UnitTest::GetInstance()->current_test_info()->name())) {
    std::filesystem::remove_all(mount_);
    std::filesystem::create_directories(mount_);
  }
  ~FakeCgroups() { std::filesystem::remove_all(mount_); }
  FakeCgroups(const FakeCgroups&) = delete;
  FakeCgroups& operator=(const FakeCgroups&) = delete;

  CgroupHierarchy hierarchy() {
    return {.mount = mount_, .id_of = [this](const std::string& path) { return IdOf(path); }};
  }
  const std::string& mount() const { return mount_; }

  // `cgroup`: its path below the mount point, beginning with a slash. Returns the id.
  uint64_t Create(const std::string& cgroup) {
    std::filesystem::create_directories(mount_ + cgroup);
    return *IdOf(mount_ + cgroup);
  }
  void Remove(const std::string& cgroup) { std::filesystem::remove_all(mount_ + cgroup); }
  void Write(const std::string& file, const std::string& text) {
    std::ofstream(mount_ + file) << text;
  }
  void SetId(const std::string& cgroup, uint64_t id) { ids_[mount_ + cgroup] = id; }

 private:
  absl::StatusOr<uint64_t> IdOf(const std::string& path) const {
    struct stat info = {};
    if (stat(path.c_str(), &info) != 0)
      return absl::NotFoundError(path);
    const auto known = ids_.find(path);
    return known == ids_.end() ? info.st_ino : known->second;
  }

  std::string mount_;
  std::map<std::string, uint64_t> ids_;
};

}  // namespace sandpiper::testing

#endif  // SANDPIPER_TESTS_UNIT_FAKE_KERNEL_TABLES_H_
