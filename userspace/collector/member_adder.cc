// SPDX-License-Identifier: Apache-2.0
#include "userspace/collector/member_adder.h"

#include <sys/types.h>

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "userspace/base/clock.h"
#include "userspace/base/status.h"
#include "userspace/base/text.h"
#include "userspace/collector/describe.h"
#include "userspace/sandbox/cgroup_fs.h"
#include "userspace/sandbox/proc.h"

namespace sandpiper {

absl::Status MemberAdder::AddCgroup(uint64_t serial, SandboxSession* sandbox,
                                    const std::string& path, Role role) {
  ASSIGN_OR_RETURN(const uint64_t id, cgroups_.id_of(path));
  std::vector<RecordAttribute> attributes;
  if (role != Role::kNone)
    attributes.push_back({"sandbox.role", std::string(Name(role))});
  Member member;
  member.sandbox = sandbox->sandbox().serial;
  member.role = role;
  member.origins = targets_.sandboxes->AddMember(serial, std::move(attributes), sandbox);
  member.cgroup_id = id;
  member.path = path;
  RETURN_IF_ERROR(targets_.members->Put(serial, std::move(member)));
  RETURN_IF_ERROR(targets_.members->WatchCgroups(serial));
  AddProcesses(serial, sandbox);
  return absl::OkStatus();
}

void MemberAdder::AddProcesses(uint64_t serial, SandboxSession* sandbox) {
  const Member* const member = targets_.members->Find(serial);
  if (!member)
    return;
  const Origin origin = member->origins[static_cast<size_t>(AttributionBasis::kCgroup)];
  for (const pid_t pid : ProcessesIn(member->path)) {
    if (auto process = ReadProcess(pid)) {
      process->origin = origin;
      sandbox->OnExisting(*process);
      targets_.namespaces->Enter(sandbox->sandbox().serial, process->netns, pid);
    }
  }
  targets_.sandboxes->Reschedule(*sandbox);
}

absl::Status MemberAdder::AddDevice(uint64_t serial, SandboxSession* sandbox,
                                    const LinkChange& link) {
  Member member;
  member.origins = targets_.sandboxes->AddMember(serial, {}, sandbox);
  member.sandbox = sandbox->sandbox().serial;
  member.device = link.name;
  const owner owner = {.member = serial, .sandbox = member.sandbox};
  RETURN_IF_ERROR(targets_.members->Put(serial, std::move(member)));
  const absl::Status status = targets_.tables->WatchDevice(link.ifindex, owner);
  if (!status.ok())
    targets_.members->OnRemoved(serial, BootNow());
  return status;
}

Member MemberAdder::LeaveSandbox(uint64_t serial, Member* member) {
  const KernelCounts counts = targets_.members->CountsOf(serial, *member);
  targets_.members->ReadUse(member);
  if (SandboxSession* const former = targets_.sandboxes->Find(member->sandbox))
    former->OnMemberEnded(counts, MemberTable::UseOf(*member));
  Member out = *member;
  auto before = std::make_shared<KernelCounts>(counts);
  if (member->before)
    *before += *member->before;
  out.before = std::move(before);
  out.use_before = out.use;
  return out;
}

MemberAdder::Added MemberAdder::AddAttributed(const Decision& decision) {
  const Candidate& candidate = decision.candidate;
  // The cgroup may have been removed, and its path used by a new one. Only the id is certain.
  const std::string path = cgroups_.mount + candidate.cgroup;
  const auto id = cgroups_.id_of(path);
  const bool exists = id.ok() && *id == candidate.cgroup_id;
  Member* const known = targets_.members->Find(candidate.member);
  const uint64_t former = known ? known->sandbox : 0;
  SandboxSession* const sandbox = targets_.sandboxes->FindOrCreate(
      decision.selected->id, RuntimeOf(decision), known ? BootNow() : candidate.created_ns);
  const uint64_t serial = sandbox->sandbox().serial;
  if (former == serial)
    return {};
  Member member = known ? LeaveSandbox(candidate.member, known) : Member();
  member.sandbox = serial;
  member.role = decision.selected->role;
  member.origins = targets_.sandboxes->AddMember(candidate.member, AttributesOf(decision), sandbox);
  member.cgroup_id = candidate.cgroup_id;
  member.path = exists ? path : "";
  member.container_id = decision.path.container_id;
  absl::Status status = targets_.members->Put(candidate.member, std::move(member));
  if (status.ok() && exists)
    status = targets_.members->WatchCgroups(candidate.member);
  if (!status.ok())
    warn_(absl::StrCat("cannot watch the sandbox \"", decision.selected->id,
                       "\": ", std::string(status.message())));
  return {.sandbox = sandbox, .former = former, .path = exists ? path : ""};
}

}  // namespace sandpiper
