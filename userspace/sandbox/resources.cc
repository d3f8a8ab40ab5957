// SPDX-License-Identifier: Apache-2.0
#include "userspace/sandbox/resources.h"

#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "userspace/base/file.h"
#include "userspace/sandbox/cgroup_fs.h"

namespace sandpiper {
namespace {

std::optional<uint64_t> ReadNumber(const std::string& path) {
  const auto text = ReadFile(path);
  uint64_t number = 0;
  return text && absl::SimpleAtoi(*text, &number) ? std::optional(number) : std::nullopt;
}

// The mount point of the v1 memory controller; empty if it is not mounted. A line of mountinfo has
// the mount point as field 5, and after " - " the type, the source and the options.
std::string FindMemoryV1(const std::string& proc) {
  const std::string mounts = ReadFile(proc + "/self/mountinfo").value_or("");
  for (const absl::string_view line : absl::StrSplit(mounts, '\n')) {
    const std::vector<absl::string_view> halves = absl::StrSplit(line, absl::MaxSplits(" - ", 1));
    if (halves.size() < 2)
      continue;
    const std::vector<std::string> fields = absl::StrSplit(halves[0], ' ');
    const std::vector<std::string> type = absl::StrSplit(halves[1], ' ');
    if (fields.size() < 5 || type.size() < 3 || type[0] != "cgroup")
      continue;
    for (const absl::string_view option : absl::StrSplit(type[2], ',')) {
      if (option == "memory")
        return fields[4];
    }
  }
  return "";
}

bool HasMemory(const std::string& mount) {
  const std::string controllers = ReadFile(mount + "/cgroup.controllers").value_or("");
  for (const absl::string_view controller : absl::StrSplit(controllers, absl::ByAnyChar(" \n"))) {
    if (controller == "memory")
      return true;
  }
  return false;
}

// The process's share of anonymous and shared memory. A line of smaps_rollup reads
// "Pss_Anon:   1234 kB" (proc(5)).
uint64_t OwnMemory(const std::string& proc, pid_t pid) {
  uint64_t bytes = 0;
  const std::string rollup = ReadFile(absl::StrCat(proc, "/", pid, "/smaps_rollup")).value_or("");
  for (const absl::string_view line : absl::StrSplit(rollup, '\n')) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ', absl::SkipEmpty());
    uint64_t kib = 0;
    if (fields.size() == 3 && (fields[0] == "Pss_Anon:" || fields[0] == "Pss_Shmem:") &&
        absl::SimpleAtoi(fields[1], &kib))
      bytes += kib * 1024;
  }
  return bytes;
}

// The process's cgroup in the v1 hierarchy of the memory controller. A line reads "4:memory:/path".
std::string MemoryCgroupV1(const std::string& proc, pid_t pid) {
  const std::string cgroups = ReadFile(absl::StrCat(proc, "/", pid, "/cgroup")).value_or("");
  for (const absl::string_view line : absl::StrSplit(cgroups, '\n')) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (fields.size() < 3)
      continue;
    for (const absl::string_view controller : absl::StrSplit(fields[1], ',')) {
      if (controller == "memory")
        return std::string(fields[2]);
    }
  }
  return "";
}

MemorySource BestSource(const std::string& mount, const std::string& mount_v1) {
  if (HasMemory(mount))
    return MemorySource::kController;
  return mount_v1.empty() ? MemorySource::kProcesses : MemorySource::kControllerV1;
}

}  // namespace

const char* Name(MemorySource source) {
  switch (source) {
    case MemorySource::kController:
      return "memory.current";
    case MemorySource::kControllerV1:
      return "memory.usage_in_bytes";
    case MemorySource::kProcesses:
      return "smaps_rollup";
  }
  return "";
}

ResourceUse& ResourceUse::operator+=(const ResourceUse& other) {
  user_seconds += other.user_seconds;
  system_seconds += other.system_seconds;
  memory_bytes += other.memory_bytes;
  processes += other.processes;
  return *this;
}

ResourceReader::ResourceReader(const std::string& mount, const std::string& proc)
    : mount_(mount),
      proc_(proc),
      mount_v1_(FindMemoryV1(proc)),
      source_(BestSource(mount, mount_v1_)) {}

std::string ResourceReader::reason() const {
  return source_ == MemorySource::kController
             ? ""
             : "memory.current: no memory controller in the cgroup v2 hierarchy";
}

std::optional<ResourceUse> ResourceReader::Read(const std::string& path) const {
  const auto stat = ReadFile(path + "/cpu.stat");
  if (!stat)
    return std::nullopt;
  ResourceUse out;
  for (const absl::string_view line : absl::StrSplit(*stat, '\n')) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ');
    uint64_t microseconds = 0;
    if (fields.size() != 2 || !absl::SimpleAtoi(fields[1], &microseconds))
      continue;
    if (fields[0] == "user_usec")
      out.user_seconds = static_cast<double>(microseconds) / 1e6;
    else if (fields[0] == "system_usec")
      out.system_seconds = static_cast<double>(microseconds) / 1e6;
  }
  const std::vector<pid_t> pids = ProcessesIn(path);
  out.processes = pids.size();
  auto memory = ReadNumber(path + "/memory.current");
  // The v1 cgroup is used only if it has the same path as the v2 cgroup. Otherwise it may contain
  // other processes too.
  const std::string below = path.substr(std::min(path.size(), mount_.size()));
  if (!memory && !mount_v1_.empty() && below.size() > 1 && !pids.empty() &&
      MemoryCgroupV1(proc_, pids[0]) == below)
    memory = ReadNumber(absl::StrCat(mount_v1_, below, "/memory.usage_in_bytes"));
  if (!memory) {
    memory = 0;
    for (const pid_t pid : pids)
      *memory += OwnMemory(proc_, pid);
  }
  out.memory_bytes = *memory;
  return out;
}

}  // namespace sandpiper
