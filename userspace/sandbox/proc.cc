// SPDX-License-Identifier: Apache-2.0
#include "userspace/sandbox/proc.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <vector>

#include "absl/strings/str_split.h"
#include "userspace/base/clock.h"
#include "userspace/base/file.h"

namespace sandpiper {
namespace {

struct Stat {
  std::string comm;
  char state;
  uint32_t parent;
  uint64_t start_ns;
};

uint64_t ClockTick() { return kSecond / static_cast<uint64_t>(sysconf(_SC_CLK_TCK)); }

// The fields of /proc/PID/stat are: pid (comm) state ppid … and starttime as field 22. comm may
// contain spaces and parentheses, so fields are counted from the last parenthesis.
std::optional<Stat> ReadStat(const std::string& base) {
  const std::string stat = ReadFile(base + "/stat").value_or("");
  const size_t open = stat.find('(');
  const size_t close = stat.rfind(')');
  if (open == std::string::npos || close == std::string::npos || close < open)
    return std::nullopt;
  const std::vector<std::string> fields =
      absl::StrSplit(stat.substr(close + 1), ' ', absl::SkipEmpty());
  if (fields.size() < 20)
    return std::nullopt;
  return Stat{.comm = stat.substr(open + 1, close - open - 1),
              .state = fields[0][0],
              .parent = static_cast<uint32_t>(atoi(fields[1].c_str())),
              .start_ns = strtoull(fields[19].c_str(), nullptr, 10) * ClockTick()};
}

}  // namespace

bool IsAlive(const ProcessKey& process, const std::string& proc) {
  const auto stat = ReadStat(proc + "/" + std::to_string(process.pid));
  return stat && stat->state != 'Z' && process.start_ns - stat->start_ns < ClockTick();
}

std::optional<Exec> ReadProcess(pid_t pid, const std::string& proc) {
  const std::string base = proc + "/" + std::to_string(pid);
  const std::optional<Stat> stat = ReadStat(base);
  if (!stat)
    return std::nullopt;
  Exec out;
  out.comm = stat->comm;
  out.parent.pid = stat->parent;
  out.process.pid = static_cast<uint32_t>(pid);
  out.process.start_ns = stat->start_ns;
  std::error_code error;
  out.path = std::filesystem::read_symlink(base + "/exe", error).string();
  out.working_directory = std::filesystem::read_symlink(base + "/cwd", error).string();
  // The link reads "net:[4026531840]".
  const std::string netns = std::filesystem::read_symlink(base + "/ns/net", error).string();
  out.netns =
      static_cast<uint32_t>(strtoul(netns.substr(netns.find('[') + 1).c_str(), nullptr, 10));
  std::string line = ReadFile(base + "/cmdline").value_or("");
  if (!line.empty() && line.back() == '\0')
    line.pop_back();
  if (!line.empty())
    out.args = absl::StrSplit(line, '\0');
  return out;
}

}  // namespace sandpiper
