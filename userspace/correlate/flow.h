// SPDX-License-Identifier: Apache-2.0
// One connection attempt of a sandbox, and the connection that may follow from it.
#ifndef SANDPIPER_USERSPACE_CORRELATE_FLOW_H_
#define SANDPIPER_USERSPACE_CORRELATE_FLOW_H_

#include <cstdint>
#include <string>

#include "userspace/correlate/denial.h"
#include "userspace/correlate/name_cache.h"
#include "userspace/event/event.h"

namespace sandpiper {

// The `outcome` attribute of sandbox.connect.attempts. The values between kEstablished and
// kUnknown are also error.type of egress.failed.
enum class ConnectOutcome {
  kPending,
  kEstablished,
  kDenied,
  kRefused,
  kTimeout,
  kUnreachable,
  kReset,
  kCancelled,
  kOther,
  kUnknown
};
inline constexpr int kConnectOutcomeCount = 10;
const char* Name(ConnectOutcome outcome);

// The outcome for an errno of connect(2), of send(2) or of the socket.
ConnectOutcome OutcomeOfErrno(int error);

struct Flow {
  Origin origin = 0;
  uint64_t cookie = 0;
  Transport transport = Transport::kTcp;
  ProcessKey process;
  std::string comm;
  bool is_guest = false;  // seen on a device; the host has no socket for it
  Endpoint peer;
  SharedText name;  // the name that the sandbox had looked up for this address; may be empty
  NameSource name_source = NameSource::kDns;
  uint64_t started_ns = 0;
  uint64_t decided_ns = 0;  // time of the outcome
  ConnectOutcome outcome = ConnectOutcome::kPending;
  int error = 0;  // errno that led to the outcome
  // A denial does not end an attempt: the program retries, and succeeds if the rules change in
  // time.
  DenialLayer denied_by = DenialLayer::kNone;
  uint64_t denials = 0;           // UDP: denied datagrams so far; TCP: at most one
  uint64_t denials_reported = 0;  // part of `denials` that OnDenied or DrainDenials returned
  bool reset = false;             // a RST ended it after it was established
  uint64_t sent = 0;              // payload bytes so far
  uint64_t received = 0;

  // A name that only the sandbox itself gave explains no address: it could be any.
  bool is_destination_named() const { return !name.empty() && name_source != NameSource::kSandbox; }
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CORRELATE_FLOW_H_
