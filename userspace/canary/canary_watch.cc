// SPDX-License-Identifier: Apache-2.0
#include "userspace/canary/canary_watch.h"

#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"

namespace sandpiper {

void CanaryWatch::Start(absl::StatusOr<std::unique_ptr<Canary>> canary, uint64_t member,
                        uint64_t sandbox) {
  absl::Status status = canary.status();
  if (status.ok()) {
    const auto id = cgroups_.id_of((*canary)->cgroup());
    status = id.status();
    if (status.ok())
      status = members_->Put(member,
                             {.sandbox = sandbox, .cgroup_id = *id, .path = (*canary)->cgroup()});
    if (status.ok())
      status = members_->WatchCgroups(member);
  }
  if (!status.ok()) {
    problem_ = std::string(status.message());
    return;
  }
  canary_ = *std::move(canary);
  member_ = member;
}

bool CanaryWatch::Intercept(const Event& event) {
  if (!canary_ || event.member != member_)
    return false;
  canary_->OnEvent(event.kind);
  // The kernel may give the inode number of its network namespace to another one.
  if (const auto* connect = std::get_if<Connect>(&event.body))
    tables_->ForgetNamespace(connect->netns);
  if (std::holds_alternative<CgroupRemoved>(event.body))
    members_->OnRemoved(member_, event.time_ns);
  return true;
}

void CanaryWatch::Poll(uint64_t now_ns) {
  if (!canary_)
    return;
  const Member* const member = members_->Find(member_);
  if (!member) {
    problem_ = absl::StrCat("its cgroup was removed: ", canary_->cgroup());
    warn_(absl::StrCat("self-test stopped: ", problem_,
                       "; a probe that loses events would not be detected"));
    canary_.reset();
    return;
  }
  canary_->Poll(now_ns, [&] { return members_->CountsOf(member_, *member); });
  for (const std::string& warning : canary_->TakeWarnings())
    warn_(warning);
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
