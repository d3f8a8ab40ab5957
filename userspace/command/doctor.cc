// SPDX-License-Identifier: Apache-2.0
// sandpiper doctor: checks which features work on this host. Attaches every probe to an empty
// cgroup that it creates, and detaches it again.
#include <fcntl.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "userspace/command/commands.h"
#include "userspace/command/errors.h"
#include "userspace/command/host_checks.h"
#include "userspace/probe/probes.h"
#include "userspace/sandbox/cgroup_fs.h"
#include "userspace/sandbox/resources.h"

namespace sandpiper {
namespace {

Finding FindingOf(const ProbeState& probe) {
  return {.subject = "probe " + probe.probe,
          .found = probe.mechanism,
          .state = Name(GetOperatingState(probe)),
          .reason = probe.reason};
}

absl::StatusOr<std::vector<Finding>> TryProbes(const Config& config) {
  ASSIGN_OR_RETURN(const std::string mount, FindCgroupMount());
  ASSIGN_OR_RETURN(const std::unique_ptr<Probes> probes, Probes::Load(config.probes));
  ASSIGN_OR_RETURN(const OwnedCgroup cgroup,
                   OwnedCgroup::Create(absl::StrCat(mount, "/sandpiper-doctor-", getpid())));
  const UniqueFd fd(open(cgroup.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  RETURN_IF_ERROR(probes->Attach(fd.get()));
  std::vector<Finding> out;
  for (const ProbeState& probe : probes->states())
    out.push_back(FindingOf(probe));
  const ResourceReader resources(mount);
  out.push_back(
      {.subject = "resources",
       .found = Name(resources.source()),
       .state = Name(resources.reason().empty() ? OperatingState::kOn : OperatingState::kDegraded),
       .reason = resources.reason()});
  return out;
}

struct Examination {
  std::vector<Finding> findings;
  absl::Status main_job;  // OK if `exec` and `run` work on this host
};

Examination Examine(const Config& config) {
  Examination out = {.findings = {CheckKernel(), CheckBtf(), CheckLockdown(), CheckCgroups(),
                                  CheckCapabilities(), CheckClock()},
                     .main_job = absl::OkStatus()};
  const auto append = [&](const std::vector<Finding>& more) {
    out.findings.insert(out.findings.end(), more.begin(), more.end());
  };
  const auto probes = TryProbes(config);
  if (probes.ok())
    append(*probes);
  out.main_job = probes.status();
  append(CheckRuntimes(config));
  append(CheckEndpoints(config));
  out.findings.push_back({.subject = "main job",
                          .found = "",
                          .state = Name(probes.ok() ? OperatingState::kOn : OperatingState::kOff),
                          .reason = std::string(probes.status().message())});
  return out;
}

void PrintTable(const std::vector<Finding>& findings) {
  size_t subject = 0, found = 0;
  for (const Finding& f : findings) {
    subject = std::max(subject, f.subject.size());
    found = std::max(found, f.found.size());
  }
  for (const Finding& f : findings) {
    printf("%-*s  %-*s  %s%s%s\n", static_cast<int>(subject), f.subject.c_str(),
           static_cast<int>(found), f.found.empty() ? "-" : f.found.c_str(), f.state.c_str(),
           f.reason.empty() ? "" : ": ", f.reason.c_str());
  }
}

void PrintJson(const std::vector<Finding>& findings) {
  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer> json(buffer);
  json.StartArray();
  for (const Finding& f : findings) {
    json.StartObject();
    for (const auto& [key, value] : {std::pair{"subject", &f.subject},
                                     {"found", &f.found},
                                     {"state", &f.state},
                                     {"reason", &f.reason}}) {
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
  const Examination examination = Examine(config);
  if (format == ReportFormat::kJson)
    PrintJson(examination.findings);
  else
    PrintTable(examination.findings);
  return examination.main_job.ok() ? 0 : Fail(examination.main_job, kExitFailure);
}

}  // namespace sandpiper
