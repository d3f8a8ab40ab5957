// SPDX-License-Identifier: Apache-2.0
#include "userspace/sandbox/cgroup_fs.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/str_split.h"
#include "userspace/base/status.h"

namespace sandpiper {
namespace {

namespace fs = std::filesystem;

absl::Status WriteFile(const std::string& path, const std::string& text) {
  const UniqueFd file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file.ok() ||
      write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    return ErrnoStatus(errno, absl::StrCat("writing ", text, " to ", path));
  return absl::OkStatus();
}

// mountinfo escapes space, tab, newline and backslash as \OOO.
std::string UnescapeMountField(std::string_view field) {
  std::string out;
  for (size_t i = 0; i < field.size(); ++i) {
    if (field[i] == '\\' && i + 3 < field.size()) {
      out.push_back(static_cast<char>((field[i + 1] - '0') * 64 + (field[i + 2] - '0') * 8 +
                                      (field[i + 3] - '0')));
      i += 3;
    } else {
      out.push_back(field[i]);
    }
  }
  return out;
}

}  // namespace

absl::StatusOr<std::string> FindCgroupMount(const std::string& mountinfo_path) {
  std::ifstream file(mountinfo_path);
  if (!file)
    return ErrnoStatus(errno, absl::StrCat("reading ", mountinfo_path));
  std::string best;
  for (std::string line; std::getline(file, line);) {
    // ID PARENT DEV ROOT MOUNTPOINT OPTIONS [TAGS…] - TYPE SOURCE OPTIONS
    const std::vector<std::string> halves = absl::StrSplit(line, absl::MaxSplits(" - ", 1));
    const std::vector<std::string> fields = absl::StrSplit(halves[0], ' ');
    if (halves.size() < 2 || fields.size() < 5 || halves[1].rfind("cgroup2 ", 0) != 0)
      continue;
    if (best.empty() || fields[3] == "/")
      best = UnescapeMountField(fields[4]);
    if (fields[3] == "/")
      break;
  }
  if (best.empty())
    return absl::FailedPreconditionError(
        "cgroup v2 is not mounted, and sandpiper identifies sandboxes by their cgroup v2. On a "
        "host "
        "with cgroup v1 only, boot with systemd.unified_cgroup_hierarchy=1, or mount v2 beside v1: "
        "mount -t cgroup2 none /sys/fs/cgroup/unified");
  return best;
}

absl::StatusOr<uint64_t> CgroupId(const std::string& path) {
  alignas(file_handle) char storage[sizeof(file_handle) + sizeof(uint64_t)] = {};
  auto* handle = reinterpret_cast<file_handle*>(storage);
  handle->handle_bytes = sizeof(uint64_t);
  int mount_id = 0;
  if (name_to_handle_at(AT_FDCWD, path.c_str(), handle, &mount_id, 0))
    return ErrnoStatus(errno, absl::StrCat("cgroup ", path));
  uint64_t id = 0;
  std::memcpy(&id, handle->f_handle, sizeof(id));
  return id;
}

std::vector<std::string> CgroupsBelow(const std::string& path) {
  std::vector<std::string> out;
  std::error_code error;
  for (fs::recursive_directory_iterator
           it(path, fs::directory_options::skip_permission_denied, error),
       end;
       it != end && !error; it.increment(error)) {
    std::error_code ignored;
    if (it->is_directory(ignored) && !it->is_symlink(ignored))
      out.push_back(it->path().string());
  }
  return out;
}

std::vector<pid_t> ProcessesIn(const std::string& path) {
  std::vector<std::string> cgroups = CgroupsBelow(path);
  cgroups.push_back(path);
  std::vector<pid_t> out;
  for (const std::string& cgroup : cgroups) {
    std::ifstream file(cgroup + "/cgroup.procs");
    for (pid_t pid; file >> pid;)
      out.push_back(pid);
  }
  return out;
}

absl::StatusOr<OwnedCgroup> OwnedCgroup::Create(const std::string& path) {
  // A killed process that had our pid may have left an empty one.
  rmdir(path.c_str());
  if (mkdir(path.c_str(), 0755))
    return ErrnoStatus(errno, absl::StrCat("creating the cgroup ", path));
  UniqueFd events(open((path + "/cgroup.events").c_str(), O_RDONLY | O_CLOEXEC));
  if (!events.ok()) {
    const absl::Status status =
        ErrnoStatus(errno, absl::StrCat("opening ", path, "/cgroup.events"));
    rmdir(path.c_str());
    return status;
  }
  return OwnedCgroup(path, std::move(events));
}

OwnedCgroup::~OwnedCgroup() {
  if (path_.empty() || !events_.ok())
    return;
  std::vector<std::string> cgroups = CgroupsBelow(path_);
  for (auto cgroup = cgroups.rbegin(); cgroup != cgroups.rend(); ++cgroup)
    rmdir(cgroup->c_str());
  rmdir(path_.c_str());
}

absl::Status OwnedCgroup::AddProcess(pid_t pid) {
  return WriteFile(path_ + "/cgroup.procs", std::to_string(pid));
}

bool OwnedCgroup::IsPopulated() const {
  char text[256] = {};
  if (pread(events_.get(), text, sizeof(text) - 1, 0) <= 0)
    return false;
  return std::strstr(text, "populated 1") != nullptr;
}

void OwnedCgroup::KillAll() {
  if (WriteFile(path_ + "/cgroup.kill", "1").ok())
    return;
  for (const pid_t pid : ProcessesIn(path_))
    kill(pid, SIGKILL);
}

}  // namespace sandpiper
