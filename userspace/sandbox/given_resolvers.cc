// SPDX-License-Identifier: Apache-2.0
#include "userspace/sandbox/given_resolvers.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "userspace/base/clock.h"
#include "userspace/base/fd.h"

namespace sandpiper {
namespace {

constexpr size_t kFileMax = 16 * 1024;
constexpr size_t kServersMax = 64;  // of one sandbox; glibc uses three of a file
constexpr uint64_t kReadInterval = kSecond;

// False if `text` is no address. Ignores the scope of a link-local one.
bool ParseAddress(std::string text, Address* address) {
  text.resize(std::min(text.find('%'), text.size()));
  uint8_t octets[4];
  if (inet_pton(AF_INET, text.c_str(), octets) == 1) {
    *address = Address::FromIpv4(octets);
    return true;
  }
  return inet_pton(AF_INET6, text.c_str(), address->bytes.data()) == 1;
}

}  // namespace

std::vector<Address> ParseResolvConf(std::string_view text) {
  constexpr std::string_view kKeyword = "nameserver";
  constexpr std::string_view kBlank = " \t";
  std::vector<Address> servers;
  while (!text.empty()) {
    std::string_view line = text.substr(0, std::min(text.find('\n'), text.size()));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (!line.starts_with(kKeyword))
      continue;
    line.remove_prefix(kKeyword.size());
    const size_t begin = line.find_first_not_of(kBlank);
    if (begin == 0 || begin == std::string_view::npos)
      continue;
    line.remove_prefix(begin);
    Address server;
    if (ParseAddress(std::string(line.substr(0, line.find_first_of(" \t\r;#"))), &server))
      servers.push_back(server);
  }
  return servers;
}

ResolvConf ReadResolvConf(pid_t pid) {
  const UniqueFd root(
      open(absl::StrCat("/proc/", pid, "/root").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root.ok())
    return {};
  // Links of the sandbox must not lead out of its root, and a pipe must not block.
  const open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
                        .mode = 0,
                        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
  const UniqueFd file(
      static_cast<int>(syscall(SYS_openat2, root.get(), "etc/resolv.conf", &how, sizeof(how))));
  struct stat status = {};
  if (!file.ok() || fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode))
    return {};
  ResolvConf out;
  out.text.resize(kFileMax);
  const ssize_t bytes = pread(file.get(), out.text.data(), out.text.size(), 0);
  out.text.resize(static_cast<size_t>(std::max<ssize_t>(bytes, 0)));
  out.changed_unix_ns = static_cast<uint64_t>(status.st_ctim.tv_sec) * kSecond +
                        static_cast<uint64_t>(status.st_ctim.tv_nsec);
  return out;
}

bool GivenResolvers::Read(pid_t pid) {
  const ResolvConf file = pid > 0 ? read_(pid) : ResolvConf();
  if (file.text.empty())
    return false;
  if (file.changed_unix_ns > started_unix_ns_)
    return true;
  for (const Address& server : ParseResolvConf(file.text)) {
    if (servers_.size() < kServersMax)
      servers_.insert(server);
  }
  return true;
}

bool GivenResolvers::Contains(const Address& server, pid_t pid, pid_t parent_pid, uint64_t now_ns) {
  if (servers_.contains(server))
    return true;
  if (now_ns < next_read_ns_)
    return false;
  next_read_ns_ = now_ns + kReadInterval;
  if (!Read(pid))
    Read(parent_pid);
  return servers_.contains(server);
}

}  // namespace sandpiper
