// SPDX-License-Identifier: Apache-2.0
// Facts -> log records, one function an event. Text that a sandbox chose is escaped here and
// nowhere later.
#ifndef SANDPIPER_USERSPACE_AGGREGATE_RECORDS_H_
#define SANDPIPER_USERSPACE_AGGREGATE_RECORDS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "userspace/aggregate/denials.h"
#include "userspace/aggregate/ledger.h"
#include "userspace/aggregate/log_record.h"
#include "userspace/correlate/allowances.h"
#include "userspace/correlate/dns_lookups.h"
#include "userspace/correlate/flow_table.h"
#include "userspace/correlate/process_table.h"
#include "userspace/correlate/ruleset_history.h"
#include "userspace/ruleset/opensandbox_policy.h"

namespace sandpiper {

// Among what was dropped: a socket or a flow that the kernel had no memory to remember.
inline constexpr char kNoMemory[] = "no_memory.socket";

struct SandboxTotals {
  uint64_t lookups = 0, attempts = 0, execs = 0, exits = 0, denied = 0, destinations = 0;
  bool destinations_estimated = false;
  uint64_t ignored_answers = 0, malformed_messages = 0, escaped_texts = 0;
  uint64_t produced = 0, delivered = 0;                   // events of all kinds
  std::vector<std::pair<std::string, uint64_t>> dropped;  // by reason and kind, as "ring_full.exec"
};

// What the process that changed the rules is to the sandbox.
enum class ActorRole { kUnknown, kApp, kSidecar, kHost };

struct AllowedElement {
  const TimedElement* element;
  Allowance allowance;
  SharedText host;  // under which the sandbox knows the address; empty if none
};

// Of what is of no part by its cgroup: the same in each sandbox.
inline constexpr Origin kByNamespace = 1, kByProcess = 2;

struct RulesKeys;

class RecordMaker {
 public:
  // `identity`: sandbox_id and the configured extra attributes; they stand on every record.
  explicit RecordMaker(std::vector<Attribute> identity);

  // Another part of the sandbox; `attributes`, as container.id, stand on every record of it.
  Origin AddOrigin(std::vector<RecordAttribute> attributes);
  const std::vector<Attribute>& identity() const { return identity_; }

  // The pointers to processes may be null: a program that was never seen to start.
  LogRecord Lookup(const sandpiper::Lookup& lookup, const Process* process, int64_t unix_offset);
  // An attempt to an address that no lookup explains.
  LogRecord Outbound(const Flow& flow, const Process* process, int64_t unix_offset);
  LogRecord Failed(const Flow& flow, const Process* process, int64_t unix_offset);
  // The first of its kind in a window.
  LogRecord Denied(const Denial& denial, const Process* process, int64_t unix_offset);
  // The others.
  LogRecord Denied(const Denials::WindowEntry& entry, uint64_t time_ns, int64_t unix_offset);
  LogRecord Destination(const Ledger::WindowEntry& entry, uint64_t time_ns, int64_t unix_offset);
  LogRecord Exec(const Process& process, const std::vector<SharedText>& ancestors,
                 int64_t unix_offset);
  LogRecord Exit(const Process& process, int64_t unix_offset);
  // egress.loaded, egress.updated.
  LogRecord RulesUpdated(const RulesetUpdate& update, ActorRole role, const Process* process,
                         int64_t unix_offset);
  // egress.loaded of a sidecar, from what it was started with.
  LogRecord PolicyLoaded(const OpenSandboxPolicy& policy, const Process& process,
                         int64_t unix_offset);
  // egress.updated, at debug: elements with a timeout.
  LogRecord Allowed(const std::vector<AllowedElement>& elements,
                    const RulesetTransaction& transaction, ActorRole role, const Process* process,
                    int64_t unix_offset);
  // egress.expired, at debug.
  LogRecord ExpiredInUse(const Address& address, const SharedText& host, uint64_t time_ns,
                         int64_t unix_offset);
  // egress.update_failed.
  LogRecord RulesRefused(const RulesetTransaction& refused, ActorRole role, const Process* process,
                         int64_t unix_offset);
  LogRecord Started(uint64_t time_ns, int64_t unix_offset);
  LogRecord Stopped(const SandboxTotals& totals, uint64_t time_ns, int64_t unix_offset);
  // `dropped`: reason and kind, as "ring_full.exec".
  LogRecord Loss(const std::vector<std::pair<std::string, uint64_t>>& dropped, uint64_t time_ns,
                 int64_t unix_offset);

  // Texts that had to be escaped so far.
  uint64_t escaped_texts() const { return escaped_texts_; }

 private:
  LogRecord Begin(EventName event, Severity severity, std::string body, uint64_t time_ns,
                  int64_t unix_offset);

  std::string Clean(std::string_view raw);
  void AddText(LogRecord* record, AttributeKey<AttributeType::kText> key, const SharedText& raw);
  // `beyond`: rules that are left out of `rules`.
  void AddRules(LogRecord* record, const RulesKeys& keys, const std::vector<Rule>& rules,
                uint64_t beyond);
  void AddActor(LogRecord* record, const RulesetActor& actor, ActorRole role,
                const Process* process);
  void AddOrigin(LogRecord* record, Origin origin) const;
  void AddProcess(LogRecord* record, const ProcessKey& key, const std::string& comm,
                  const Process* process);

  std::vector<Attribute> identity_;
  std::vector<RecordAttribute> common_;  // identity_, as attributes of records
  std::vector<std::vector<RecordAttribute>>
      origins_;  // after those that are the same in each sandbox
  uint64_t escaped_texts_ = 0;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_AGGREGATE_RECORDS_H_
