// SPDX-License-Identifier: Apache-2.0
#include "userspace/ruleset/xtables.h"

#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "userspace/base/fd.h"
#include "userspace/base/file.h"
#include "userspace/base/status.h"

namespace sandpiper {
namespace {

// The table may change between the two calls that read it.
constexpr int kReadTries = 4;
// A standard target stores -verdict - 1.
constexpr int kAcceptVerdict = -NF_ACCEPT - 1;
constexpr int kDropVerdict = -NF_DROP - 1;

struct FamilyCalls {
  XtablesFamily family;
  const char* name;
  const char* names_path;
  int domain, level, get_info, get_entries;
};

// /proc/net is that of the thread group's leader, which may be in another namespace.
constexpr FamilyCalls kFamilies[] = {
    {XtablesFamily::kIpv4, "ip", "/proc/thread-self/net/ip_tables_names", AF_INET, IPPROTO_IP,
     IPT_SO_GET_INFO, IPT_SO_GET_ENTRIES},
    {XtablesFamily::kIpv6, "ip6", "/proc/thread-self/net/ip6_tables_names", AF_INET6, IPPROTO_IPV6,
     IP6T_SO_GET_INFO, IP6T_SO_GET_ENTRIES}};

// Both families have the same layouts, but for the entries.
static_assert(sizeof(ipt_getinfo) == sizeof(ip6t_getinfo));
static_assert(offsetof(ipt_get_entries, entrytable) == offsetof(ip6t_get_entries, entrytable));
constexpr size_t kEntriesOffset = offsetof(ipt_get_entries, entrytable);

struct Entry {
  size_t target_offset, next_offset;
};

// Nothing if the entry is cut off.
template <typename Layout>
absl::StatusOr<Entry> ReadEntry(std::string_view entries, size_t offset) {
  Layout entry;
  if (offset > entries.size() || entries.size() - offset < sizeof(entry))
    return absl::DataLossError("a table of x_tables is cut off");
  std::memcpy(&entry, entries.data() + offset, sizeof(entry));
  const size_t left = entries.size() - offset;
  if (entry.next_offset < entry.target_offset + sizeof(xt_entry_target) || entry.next_offset > left)
    return absl::DataLossError("an entry of x_tables has a wrong length");
  return Entry{.target_offset = offset + entry.target_offset,
               .next_offset = offset + entry.next_offset};
}

bool IsTarget(std::string_view entries, size_t offset, const char* name) {
  xt_entry_target target;
  std::memcpy(&target, entries.data() + offset, sizeof(target));
  return strncmp(target.u.user.name, name, sizeof(target.u.user.name)) == 0;
}

absl::StatusOr<XtablesTable> ReadTable(const FamilyCalls& calls, int fd, const std::string& name) {
  for (int i = 0; i < kReadTries; ++i) {
    ipt_getinfo info = {};
    name.copy(info.name, sizeof(info.name) - 1);
    socklen_t bytes = sizeof(info);
    if (getsockopt(fd, calls.level, calls.get_info, &info, &bytes))
      return ErrnoStatus(errno, absl::StrCat("reading the table ", calls.name, " ", name));
    std::string answer(kEntriesOffset + info.size, '\0');
    name.copy(answer.data(), sizeof(info.name) - 1);
    std::memcpy(answer.data() + offsetof(ipt_get_entries, size), &info.size, sizeof(info.size));
    bytes = static_cast<socklen_t>(answer.size());
    if (getsockopt(fd, calls.level, calls.get_entries, answer.data(), &bytes) == 0)
      return ParseXtables(calls.family, {reinterpret_cast<const char*>(&info), sizeof(info)},
                          std::string_view(answer).substr(kEntriesOffset));
    if (errno != EAGAIN)
      return ErrnoStatus(errno, absl::StrCat("reading the table ", calls.name, " ", name));
  }
  return absl::AbortedError("a table of x_tables kept changing while it was read");
}

}  // namespace

bool HasXtables() {
  for (const FamilyCalls& calls : kFamilies) {
    if (access(calls.names_path, F_OK) == 0)
      return true;
  }
  return false;
}

absl::StatusOr<XtablesTable> ParseXtables(XtablesFamily family, std::string_view info,
                                          std::string_view entries) {
  ipt_getinfo head;
  if (info.size() != sizeof(head))
    return absl::DataLossError("the description of a table of x_tables is cut off");
  std::memcpy(&head, info.data(), sizeof(head));
  const bool is_ipv4 = family == XtablesFamily::kIpv4;
  XtablesTable table = {
      .name = absl::StrCat(is_ipv4 ? "ip " : "ip6 ",
                           std::string(head.name, strnlen(head.name, sizeof(head.name))))};
  uint64_t all = 0;
  uint64_t policies = 0;
  uint64_t heads = 0;  // of chains of the user, and the end of the table
  for (size_t at = 0; at < entries.size();) {
    ASSIGN_OR_RETURN(const Entry entry, is_ipv4 ? ReadEntry<ipt_entry>(entries, at)
                                                : ReadEntry<ip6t_entry>(entries, at));
    ++all;
    heads += IsTarget(entries, entry.target_offset, XT_ERROR_TARGET);
    for (uint32_t hook = 0; hook < NF_INET_NUMHOOKS; ++hook) {
      if ((head.valid_hooks >> hook & 1) == 0 || head.underflow[hook] != at)
        continue;
      ++policies;
      int verdict = kAcceptVerdict;
      if (entry.target_offset + sizeof(xt_standard_target) <= entry.next_offset)
        std::memcpy(&verdict,
                    entries.data() + entry.target_offset + offsetof(xt_standard_target, verdict),
                    sizeof(verdict));
      table.drops |= verdict == kDropVerdict;
      table.drops_output |= verdict == kDropVerdict && hook == NF_INET_LOCAL_OUT;
    }
    at = entry.next_offset;
  }
  // A chain of the user begins with an entry for its name and ends with a return. The last entry
  // of the table looks like such a beginning.
  const uint64_t others = policies + heads + (heads > 0 ? heads - 1 : 0);
  table.rules = all > others ? all - others : 0;
  return table;
}

bool IsInForce(const XtablesTable& table) { return table.rules > 0 || table.drops; }

absl::StatusOr<std::vector<XtablesTable>> ReadXtables() {
  std::vector<XtablesTable> out;
  for (const FamilyCalls& calls : kFamilies) {
    if (access(calls.names_path, F_OK))
      continue;
    const std::optional<std::string> names = ReadFile(calls.names_path);
    if (!names)
      return absl::PermissionDeniedError(absl::StrCat("cannot read ", calls.names_path));
    if (names->empty())
      continue;
    const UniqueFd fd(socket(calls.domain, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!fd.ok())
      return ErrnoStatus(errno, "opening a socket for x_tables");
    for (const std::string& name :
         std::vector<std::string>(absl::StrSplit(*names, '\n', absl::SkipEmpty()))) {
      ASSIGN_OR_RETURN(XtablesTable table, ReadTable(calls, fd.get(), name));
      if (IsInForce(table))
        out.push_back(std::move(table));
    }
  }
  return out;
}

}  // namespace sandpiper
