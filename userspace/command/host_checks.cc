// SPDX-License-Identifier: Apache-2.0
#include "userspace/command/host_checks.h"

#include <linux/capability.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "userspace/base/file.h"
#include "userspace/base/lockdown.h"
#include "userspace/export/secret_patterns.h"
#include "userspace/export/transport.h"
#include "userspace/runtime/runtimes.h"
#include "userspace/sandbox/cgroup_fs.h"

namespace sandpiper {
namespace {

// An endpoint that takes longer counts as one that does not answer.
constexpr std::chrono::milliseconds kEndpointTimeout{5'000};

struct Need {
  int capability;
  const char* name;
  bool is_required;
  const char* purpose;
};

constexpr Need kNeeds[] = {
    {CAP_BPF, "CAP_BPF", true, "loading the probes"},
    {CAP_PERFMON, "CAP_PERFMON", true, "reading the kernel's data"},
    {CAP_NET_ADMIN, "CAP_NET_ADMIN", true, "attaching programs to sockets, and reading rules"},
    {CAP_SYS_ADMIN, "CAP_SYS_ADMIN", false,
     "reading rules in other network namespaces, BTF of modules, tracefs"},
    {CAP_SYS_PTRACE, "CAP_SYS_PTRACE", false, "inspecting processes of other users"},
    {CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH", false,
     "reading files in sandboxes of other users"},
    {CAP_DAC_OVERRIDE, "CAP_DAC_OVERRIDE", false,
     "creating cgroups at the root, as exec and the self-test do outside of a service"},
    {CAP_SYS_RESOURCE, "CAP_SYS_RESOURCE", true, "locking memory for BPF maps before Linux 5.11"},
};

// Since Linux 5.11 the memory of maps counts for the cgroup, and not for RLIMIT_MEMLOCK.
bool LocksMemory() {
  utsname name = {};
  int major = 0;
  int minor = 0;
  return uname(&name) == 0 && sscanf(name.release, "%d.%d", &major, &minor) == 2 &&
         (major < 5 || (major == 5 && minor < 11));
}

Finding On(std::string subject, std::string found) {
  return {.subject = std::move(subject), .found = std::move(found), .state = "on", .reason = ""};
}

Finding CheckEndpoint(const char* subject, Signal signal, OtlpEndpoint endpoint) {
  if (endpoint.timeout.count() == 0 || endpoint.timeout > kEndpointTimeout)
    endpoint.timeout = kEndpointTimeout;
  Finding out = On(subject, endpoint.unix_socket.empty() ? WithoutSecrets(endpoint.target)
                                                         : endpoint.unix_socket);
  const auto transport = MakeTransport(endpoint, signal);
  SendResult result = {.verdict = SendResult::kRefused};
  if (transport.ok())
    result = (*transport)->Send("");
  if (result.verdict != SendResult::kSent) {
    out.state = "off";
    out.reason = transport.ok() ? result.error : std::string(transport.status().message());
  }
  return out;
}

}  // namespace

Finding CheckKernel() {
  utsname kernel = {};
  uname(&kernel);
  return On("kernel", absl::StrCat(kernel.release, " ", kernel.machine));
}

Finding CheckBtf() {
  Finding out = On("BTF", "/sys/kernel/btf/vmlinux");
  if (access(out.found.c_str(), R_OK)) {
    out.state = "off";
    out.reason =
        absl::StrCat(strerror(errno), ": a kernel built with CONFIG_DEBUG_INFO_BTF is needed");
  }
  return out;
}

Finding CheckLockdown(const std::string& file) {
  Finding out = On("lockdown", "none");
  out.found = LockdownMode(file);
  if (out.found.empty()) {
    out.found = "not known";
    out.reason = absl::StrCat(file, " has no lockdown mode");
    return out;
  }
  if (out.found == "confidentiality") {
    out.state = "off";
    out.reason = "no program may read the kernel's data (LOCKDOWN_BPF_READ_KERNEL)";
  }
  return out;
}

Finding CheckCapabilities(const std::string& status) {
  Finding out = On("capabilities", "all that are needed");
  uint64_t effective = 0;
  for (const auto line : absl::StrSplit(ReadFile(status).value_or(""), '\n')) {
    if (absl::StartsWith(line, "CapEff:") &&
        !absl::SimpleHexAtoi(absl::StripAsciiWhitespace(absl::StripPrefix(line, "CapEff:")),
                             &effective))
      effective = 0;
  }
  // CAP_SYS_ADMIN implies the two capabilities that Linux 5.8 split off it (capabilities(7)).
  if (effective & (1ull << CAP_SYS_ADMIN))
    effective |= 1ull << CAP_BPF | 1ull << CAP_PERFMON;
  for (const Need& need : kNeeds) {
    if (effective & (1ull << need.capability) ||
        (need.capability == CAP_SYS_RESOURCE && !LocksMemory()))
      continue;
    if (out.state != "off")
      out.state = need.is_required ? "off" : "degraded";
    out.found = "not all";
    absl::StrAppend(&out.reason, out.reason.empty() ? "" : "; ", "no ", need.name, " for ",
                    need.purpose);
  }
  return out;
}

Finding CheckCgroups(const std::string& mountinfo) {
  const auto mount = FindCgroupMount(mountinfo);
  if (!mount.ok())
    return {.subject = "cgroup v2",
            .found = "",
            .state = "off",
            .reason = std::string(mount.status().message())};
  // systemd calls v2 alone "unified", and v2 beside hierarchies of v1 "hybrid".
  const bool hybrid = ReadFile(mountinfo).value_or("").find(" - cgroup ") != std::string::npos;
  return On("cgroup v2", absl::StrCat(*mount, hybrid ? " (hybrid)" : " (unified)"));
}

Finding CheckClock() {
  timex time = {};
  const int state = adjtimex(&time);
  Finding out = On("clock", "synchronized");
  if (state == TIME_ERROR || (time.status & STA_UNSYNC)) {
    out.found = "free-running";
    out.state = "degraded";
    out.reason = "no time synchronization is running (adjtimex: STA_UNSYNC)";
  }
  return out;
}

std::vector<Finding> CheckRuntimes(const Config& config) {
  std::vector<Finding> out;
  for (const RuntimeSocket& socket : config.sockets ? *config.sockets : DefaultRuntimeSockets()) {
    const bool is_usable = access(socket.path.c_str(), R_OK | W_OK) == 0;
    out.push_back(
        {.subject = socket.api == RuntimeSocket::Api::kCri ? "runtime cri" : "runtime engine",
         .found = socket.path,
         .state = is_usable ? "on" : "off",
         .reason = is_usable ? "" : strerror(errno)});
  }
  return out;
}

std::vector<Finding> CheckEndpoints(const Config& config) {
  std::vector<Finding> out;
  if (config.otel.logs.otlp)
    out.push_back(CheckEndpoint("endpoint logs", Signal::kLogs, *config.otel.logs.otlp));
  if (config.otel.metrics.otlp)
    out.push_back(CheckEndpoint("endpoint metrics", Signal::kMetrics, *config.otel.metrics.otlp));
  return out;
}

}  // namespace sandpiper
