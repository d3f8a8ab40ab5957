#include "userspace/sandbox/proc.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "absl/strings/str_split.h"
#include "userspace/base/clock.h"

namespace sandpiper {
namespace {

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

std::optional<Exec> ReadProcess(pid_t pid, const std::string& proc) {
  const std::string base = proc + "/" + std::to_string(pid);
  const std::string stat = ReadAll(base + "/stat");
  // pid (comm) state ppid … starttime is field 22; comm may hold spaces and parentheses, so count from the last one.
  const size_t open = stat.find('('), close = stat.rfind(')');
  if (open == std::string::npos || close == std::string::npos || close < open)
    return std::nullopt;
  const std::vector<std::string> fields = absl::StrSplit(stat.substr(close + 1), ' ', absl::SkipEmpty());
  if (fields.size() < 20)
    return std::nullopt;
  Exec out;
  out.comm = stat.substr(open + 1, close - open - 1);
  out.parent.pid = static_cast<uint32_t>(atoi(fields[1].c_str()));
  out.process.pid = static_cast<uint32_t>(pid);
  out.process.start_ns = strtoull(fields[19].c_str(), nullptr, 10) * (kSecond / static_cast<uint64_t>(sysconf(_SC_CLK_TCK)));
  std::error_code error;
  out.path = std::filesystem::read_symlink(base + "/exe", error).string();
  out.working_directory = std::filesystem::read_symlink(base + "/cwd", error).string();
  // "net:[4026531840]"
  const std::string netns = std::filesystem::read_symlink(base + "/ns/net", error).string();
  out.netns = static_cast<uint32_t>(strtoul(netns.substr(netns.find('[') + 1).c_str(), nullptr, 10));
  std::string line = ReadAll(base + "/cmdline");
  if (!line.empty() && line.back() == '\0')
    line.pop_back();
  if (!line.empty())
    out.args = absl::StrSplit(line, '\0');
  return out;
}

}  // namespace sandpiper
