// sandpiper doctor: what of this host it can work with. Attaches every probe to an empty cgroup of its own, and takes it off again.
#include <fcntl.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "userspace/command/commands.h"
#include "userspace/command/errors.h"
#include "userspace/probe/probes.h"
#include "userspace/runtime/runtimes.h"
#include "userspace/sandbox/cgroup_fs.h"
#include "userspace/sandbox/resources.h"

namespace sandpiper {
namespace {

// One line of the answer: what it is about, what is in use, and why nothing better is.
struct Finding {
  std::string subject, found, state, reason;
};

Finding OfProbe(const ProbeState& probe) {
  const char* state = probe.mechanism.empty() ? "off" : probe.reason.empty() ? "on" : "degraded";
  return {.subject = "probe " + probe.probe, .found = probe.mechanism, .state = state, .reason = probe.reason};
}

absl::StatusOr<std::vector<Finding>> Examine(const Config& config) {
  utsname kernel = {};
  uname(&kernel);
  std::vector<Finding> out = {{.subject = "kernel", .found = kernel.release, .state = "on", .reason = ""}};
  ASSIGN_OR_RETURN(const std::string mount, FindCgroupMount());
  out.push_back({.subject = "cgroup v2", .found = mount, .state = "on", .reason = ""});
  ASSIGN_OR_RETURN(const std::unique_ptr<Probes> probes, Probes::Load(config.probes));
  ASSIGN_OR_RETURN(const OwnedCgroup cgroup, OwnedCgroup::Create(absl::StrCat(mount, "/sandpiper-doctor-", getpid())));
  const UniqueFd fd(open(cgroup.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  RETURN_IF_ERROR(probes->Attach(fd.get()));
  for (const ProbeState& probe : probes->states())
    out.push_back(OfProbe(probe));
  const ResourceReader resources(mount);
  out.push_back({.subject = "resources",
                 .found = Name(resources.source()),
                 .state = resources.reason().empty() ? "on" : "degraded",
                 .reason = resources.reason()});
  for (const RuntimeSocket& socket : config.sockets ? *config.sockets : DefaultRuntimeSockets()) {
    const bool there = access(socket.path.c_str(), R_OK | W_OK) == 0;
    out.push_back({.subject = socket.api == RuntimeSocket::Api::kCri ? "runtime cri" : "runtime engine",
                   .found = socket.path,
                   .state = there ? "on" : "off",
                   .reason = there ? "" : strerror(errno)});
  }
  return out;
}

void PrintTable(const std::vector<Finding>& findings) {
  size_t subject = 0, found = 0;
  for (const Finding& f : findings) {
    subject = std::max(subject, f.subject.size());
    found = std::max(found, f.found.size());
  }
  for (const Finding& f : findings) {
    printf("%-*s  %-*s  %s%s%s\n", static_cast<int>(subject), f.subject.c_str(), static_cast<int>(found),
           f.found.empty() ? "-" : f.found.c_str(), f.state.c_str(), f.reason.empty() ? "" : ": ", f.reason.c_str());
  }
}

void PrintJson(const std::vector<Finding>& findings) {
  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer> json(buffer);
  json.StartArray();
  for (const Finding& f : findings) {
    json.StartObject();
    for (const auto& [key, value] : {std::pair{"subject", &f.subject}, {"found", &f.found}, {"state", &f.state}, {"reason", &f.reason}}) {
      json.Key(key);
      json.String(value->c_str());
    }
    json.EndObject();
  }
  json.EndArray();
  printf("%s\n", buffer.GetString());
}

}  // namespace

int RunDoctor(const Config& config, ReportFormat format) {
  const auto findings = Examine(config);
  if (!findings.ok())
    return Fail(findings.status(), kExitFailure);
  if (format == ReportFormat::kJson)
    PrintJson(*findings);
  else
    PrintTable(*findings);
  return 0;
}

}  // namespace sandpiper
