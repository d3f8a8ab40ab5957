// SPDX-License-Identifier: Apache-2.0
#include "userspace/canary/canary_watch.h"

#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "userspace/sandbox/cgroup_fs.h"

namespace sandpiper {

void CanaryWatch::Start(absl::StatusOr<std::unique_ptr<Canary>> canary, uint64_t member,
                        uint64_t sandbox) {
  absl::Status status = canary.status();
  if (status.ok()) {
    const auto id = CgroupId((*canary)->cgroup());
    status = id.status();
    if (status.ok())
      status = members_->Put(member,
                             {.sandbox = sandbox, .cgroup_id = *id, .path = (*canary)->cgroup()});
    if (status.ok())
      status = members_->Watch(member);
  }
  if (!status.ok()) {
    problem_ = std::string(status.message());
    return;
  }
  canary_ = *std::move(canary);
  member_ = member;
}

bool CanaryWatch::Take(const Event& event) {
  if (!canary_ || event.member != member_)
    return false;
  canary_->OnEvent(event.kind);
  // The number of its network namespace will be another one's.
  if (const auto* connect = std::get_if<Connect>(&event.body))
    tables_->ForgetNamespace(connect->netns);
  if (std::holds_alternative<CgroupRemoved>(event.body))
    members_->Gone(member_, event.time_ns);
  return true;
}

void CanaryWatch::Work(uint64_t now_ns) {
  if (!canary_)
    return;
  const Member* const member = members_->Find(member_);
  if (!member) {
    problem_ = "somebody removed its cgroup";
    tell_(absl::StrCat("the canary: ", problem_, "; whether the probes see is not known"));
    canary_.reset();
    return;
  }
  canary_->Work(now_ns, [&] { return members_->CountsOf(member_, *member); });
  for (const std::string& news : canary_->TakeNews())
    tell_(news);
}

uint64_t CanaryWatch::NextDeadline() const {
  return canary_ ? canary_->NextDeadline() : std::numeric_limits<uint64_t>::max();
}

void CanaryWatch::AppendState(std::vector<ProbeState>* out) const {
  if (canary_ || !problem_.empty())
    out->push_back({.probe = "canary",
                    .mechanism = canary_ ? "cgroup" : "",
                    .reason = canary_ ? canary_->problem() : problem_});
}

}  // namespace sandpiper
