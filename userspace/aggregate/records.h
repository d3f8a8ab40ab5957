// SPDX-License-Identifier: Apache-2.0
// Makes the log records of one sandbox. All text that the sandbox chose is escaped here: every text
// in a record is valid UTF-8 on one line.
#ifndef SANDPIPER_USERSPACE_AGGREGATE_RECORDS_H_
#define SANDPIPER_USERSPACE_AGGREGATE_RECORDS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "userspace/aggregate/denials.h"
#include "userspace/aggregate/ledger.h"
#include "userspace/aggregate/log_record.h"
#include "userspace/aggregate/record_builder.h"
#include "userspace/correlate/allowances.h"
#include "userspace/correlate/dns_lookups.h"
#include "userspace/correlate/flow_table.h"
#include "userspace/correlate/ruleset_history.h"
#include "userspace/ruleset/opensandbox_policy.h"

namespace sandpiper {

// A reason and kind of loss: the kernel had no memory to store a socket or a flow.
inline constexpr char kNoMemory[] = "no_memory.socket";

struct SandboxTotals {
  uint64_t lookups = 0, attempts = 0, execs = 0, exits = 0, denied = 0, destinations = 0;
  bool destinations_estimated = false;
  uint64_t ignored_answers = 0, malformed_messages = 0, escaped_texts = 0;
  uint64_t produced = 0, delivered = 0;                   // events of all kinds
  std::vector<std::pair<std::string, uint64_t>> dropped;  // by reason and kind: "ring_full.exec"
};

// The relation of the process that changed the rules to the sandbox.
// kSandbox: it is a process of another sandbox, which shares the network namespace.
enum class ActorRole { kUnknown, kApp, kSidecar, kHost, kSandbox };

struct AllowedElement {
  const TimedElement* element;
  Allowance allowance;
  SharedText host;  // the name by which the sandbox knows the address; empty if there is none
};

struct RulesKeys;

class RecordMaker : public RecordBuilder {
 public:
  using RecordBuilder::RecordBuilder;

  // `process` may be null everywhere: sandpiper did not see the program start. `unix_offset` is the
  // difference between Unix time and CLOCK_BOOTTIME, in nanoseconds.
  LogRecord Lookup(const sandpiper::Lookup& lookup, const Process* process, int64_t unix_offset);
  // A connection attempt to an address that no lookup explains.
  LogRecord Outbound(const Flow& flow, const Process* process, int64_t unix_offset);
  LogRecord Failed(const Flow& flow, const Process* process, int64_t unix_offset);
  // The first denial of a destination and layer in a window.
  LogRecord Denied(const Denial& denial, const Process* process, int64_t unix_offset);
  // All further ones of the window.
  LogRecord Denied(const Denials::WindowEntry& entry, uint64_t time_ns, int64_t unix_offset);
  LogRecord Destination(const Ledger::WindowEntry& entry, uint64_t time_ns, int64_t unix_offset);
  LogRecord Exec(const Process& process, const std::vector<SharedText>& ancestors,
                 int64_t unix_offset);
  LogRecord Exit(const Process& process, int64_t unix_offset);
  // egress.loaded, egress.updated.
  LogRecord RulesUpdated(const RulesetUpdate& update, ActorRole role, const Process* process,
                         int64_t unix_offset);
  // egress.loaded: the policy that a sidecar was started with.
  LogRecord PolicyLoaded(const OpenSandboxPolicy& policy, const Process& process, uint64_t time_ns,
                         int64_t unix_offset);
  // egress.updated at level debug: added elements with a timeout.
  LogRecord Allowed(const std::vector<AllowedElement>& elements,
                    const RulesetTransaction& transaction, ActorRole role, const Process* process,
                    int64_t unix_offset);
  // egress.expired at level debug.
  LogRecord ExpiredInUse(const Address& address, const SharedText& host, uint64_t time_ns,
                         int64_t unix_offset);
  // egress.update_failed.
  LogRecord UpdateFailed(const RulesetTransaction& failed, ActorRole role, const Process* process,
                         int64_t unix_offset);
  LogRecord Started(uint64_t time_ns, int64_t unix_offset);
  LogRecord Stopped(const SandboxTotals& totals, uint64_t time_ns, int64_t unix_offset);
  // `dropped`: by reason and kind, as in SandboxTotals.
  LogRecord Loss(const std::vector<std::pair<std::string, uint64_t>>& dropped, uint64_t time_ns,
                 int64_t unix_offset);

 private:
  // `omitted`: the number of further rules that are not in `rules`.
  void AddRules(LogRecord* record, const RulesKeys& keys, const std::vector<Rule>& rules,
                uint64_t omitted);
  void AddActor(LogRecord* record, const RulesetActor& actor, ActorRole role,
                const Process* process);
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_AGGREGATE_RECORDS_H_
