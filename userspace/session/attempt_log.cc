// SPDX-License-Identifier: Apache-2.0
#include "userspace/session/attempt_log.h"

#include <utility>

#include "userspace/base/text.h"

namespace sandpiper {
namespace {

std::string ProgramOf(const Flow& flow, const Process* process) {
  if (!process || process->path.empty())
    return Escape(flow.comm);
  const std::string_view path = process->path.view();
  return Escape(path.substr(path.rfind('/') + 1));
}

}  // namespace

Attempt::Kind Attempt::kind() const {
  switch (outcome) {
    case ConnectOutcome::kEstablished:
      return Kind::kEstablished;
    case ConnectOutcome::kDenied:
      return Kind::kDenied;
    case ConnectOutcome::kPending:
    case ConnectOutcome::kUnknown:
      return Kind::kUndecided;
    case ConnectOutcome::kOther:
      return destination.transport == Transport::kTcp ? Kind::kFailed : Kind::kUndecided;
    case ConnectOutcome::kRefused:
    case ConnectOutcome::kTimeout:
    case ConnectOutcome::kUnreachable:
    case ConnectOutcome::kReset:
    case ConnectOutcome::kCancelled:
      return Kind::kFailed;
  }
  return Kind::kUndecided;
}

const char* Name(Attempt::Kind kind) {
  switch (kind) {
    case Attempt::Kind::kEstablished:
      return "established";
    case Attempt::Kind::kDenied:
      return "denied";
    case Attempt::Kind::kFailed:
      return "failed";
    case Attempt::Kind::kUndecided:
      return "no outcome";
  }
  return "";
}

void AttemptLog::OnAttempt(const Flow& flow) {
  if (attempts_.size() >= attempts_max_) {
    ++omitted_;
    return;
  }
  undecided_[{flow.cookie, flow.started_ns, flow.peer}] = attempts_.size();
  attempts_.push_back({.started_ns = flow.started_ns,
                       .program = ProgramOf(flow, processes_->Find(flow.process)),
                       .destination = KeyOf(flow),
                       .is_loopback = flow.peer.address.is_loopback()});
}

void AttemptLog::OnDecided(const Flow& flow) {
  const auto attempt = undecided_.extract(Key{flow.cookie, flow.started_ns, flow.peer});
  if (!attempt.empty())
    attempts_[attempt.mapped()].outcome = flow.outcome;
}

}  // namespace sandpiper
