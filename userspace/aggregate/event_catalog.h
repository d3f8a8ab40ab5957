// SPDX-License-Identifier: Apache-2.0
// The catalogue of log records: every event and every attribute, one row each. Names, types and
// meanings are a contract with users. docs/events.md and docs/events.schema.json are made from
// these rows, and masking goes by their sensitivity.
//
// To add an attribute, add a row to kEventAttributes and its name to the events that have it. A
// record takes a key only if the row is there and has the type of the value; everything else does
// not compile (attribute_key.h).
#ifndef SANDPIPER_USERSPACE_AGGREGATE_EVENT_CATALOG_H_
#define SANDPIPER_USERSPACE_AGGREGATE_EVENT_CATALOG_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string_view>
#include <vector>

namespace sandpiper {

// The values are OpenTelemetry's severity_number.
enum class Severity { kDebug = 5, kInfo = 9, kWarn = 13, kError = 17 };

enum class AttributeType : uint8_t { kText, kInteger, kReal, kFlag, kTextList, kRuleList };

// Which of the operator's patterns mask the value before the record leaves sandpiper.
enum class Sensitivity : uint8_t {
  kNone,       // none
  kHost,       // those for host names; the name is masked in the record's body too
  kArguments,  // those for process arguments, and those for host names
};

struct AttributeRow {
  const char* name;
  AttributeType type;
  Sensitivity sensitivity;
  const char* meaning;
};

inline constexpr AttributeRow kEventAttributes[] = {
    // On every record.
    {"opensandbox.event", AttributeType::kText, Sensitivity::kNone,
     "name of the event; equal to `event_name` in OTLP"},
    {"sandbox_id", AttributeType::kText, Sensitivity::kNone, "id of the sandbox"},
    // The part of the sandbox that caused the event.
    {"sandbox.role", AttributeType::kText, Sensitivity::kNone,
     "`app` or `sidecar`: role of the part, or of the process that changed the rules"},
    {"sandbox.attribution", AttributeType::kText, Sensitivity::kNone,
     "how the owner was found where it was not by the cgroup: `namespace` (network namespace) or "
     "`process`"},
    {"container.id", AttributeType::kText, Sensitivity::kNone, "id of the container"},
    {"container.name", AttributeType::kText, Sensitivity::kNone,
     "name of the container, outside of a pod"},
    {"container.image.name", AttributeType::kText, Sensitivity::kNone, "image of the container"},
    {"k8s.container.name", AttributeType::kText, Sensitivity::kNone,
     "name of the container within its pod"},
    {"k8s.pod.name", AttributeType::kText, Sensitivity::kNone, "name of the pod"},
    {"k8s.pod.uid", AttributeType::kText, Sensitivity::kNone, "uid of the pod"},
    {"k8s.namespace.name", AttributeType::kText, Sensitivity::kNone,
     "Kubernetes namespace of the pod"},
    {"actor", AttributeType::kText, Sensitivity::kNone,
     "the process that changed the rules is outside of the sandbox. `sandbox`: in another one, "
     "which uses the same network namespace. `host`: in none"},
    {"actor.sandbox_id", AttributeType::kText, Sensitivity::kNone,
     "the other sandbox, where `actor` is `sandbox`"},
    // Processes.
    {"process.pid", AttributeType::kInteger, Sensitivity::kNone,
     "process id in the initial PID namespace"},
    {"process.parent_pid", AttributeType::kInteger, Sensitivity::kNone, "process id of the parent"},
    {"process.executable.path", AttributeType::kText, Sensitivity::kNone, "path of the program"},
    {"process.executable.name", AttributeType::kText, Sensitivity::kNone,
     "last part of that path; the name in the kernel (`comm`) where the path is unknown"},
    {"process.command_args", AttributeType::kTextList, Sensitivity::kArguments,
     "arguments, the program's name included; the first 4 KiB"},
    {"process.args_truncated", AttributeType::kFlag, Sensitivity::kNone,
     "`true` if the arguments were longer than 4 KiB"},
    {"process.working_directory", AttributeType::kText, Sensitivity::kNone,
     "working directory at the start of the program"},
    {"process.ancestors", AttributeType::kTextList, Sensitivity::kNone,
     "programs of the parent process, its parent and so on"},
    {"process.interpreted_script", AttributeType::kText, Sensitivity::kNone,
     "path of the script, if the program is its interpreter"},
    {"process.exit.code", AttributeType::kInteger, Sensitivity::kNone, "exit status"},
    {"process.exit.signal", AttributeType::kInteger, Sensitivity::kNone,
     "number of the signal that ended the process"},
    {"process.exit.oom", AttributeType::kFlag, Sensitivity::kNone,
     "`true` if the kernel killed the process because memory ran out"},
    {"process.duration_ms", AttributeType::kReal, Sensitivity::kNone,
     "lifetime of the process in the sandbox, in milliseconds"},
    // Destinations.
    {"target.host", AttributeType::kText, Sensitivity::kHost,
     "host name: the question of a lookup, or the name by which the sandbox knows the destination"},
    {"target.host.source", AttributeType::kText, Sensitivity::kNone,
     "source of the name of a destination: `dns` (a DNS server that the sandbox was given) or "
     "`dns_untrusted` (another one, or one within the sandbox)"},
    {"target.ips", AttributeType::kTextList, Sensitivity::kNone,
     "addresses in the answer of a lookup, or that an `UPDATE` or an announcement writes"},
    {"peer", AttributeType::kText, Sensitivity::kNone,
     "address of the destination, where the record has no name for it"},
    {"network.peer.address", AttributeType::kText, Sensitivity::kNone,
     "address of the destination; the last one where there were several in the window"},
    {"network.peer.addresses", AttributeType::kTextList, Sensitivity::kNone,
     "addresses of the destination in the window, where there were several; at most 32"},
    {"network.peer.port", AttributeType::kInteger, Sensitivity::kNone, "port of the destination"},
    {"network.transport", AttributeType::kText, Sensitivity::kNone, "`tcp` or `udp`"},
    {"network.type", AttributeType::kText, Sensitivity::kNone, "`ipv4` or `ipv6`"},
    {"network.io.sent", AttributeType::kInteger, Sensitivity::kNone,
     "bytes of payload sent in the window"},
    {"network.io.received", AttributeType::kInteger, Sensitivity::kNone,
     "bytes of payload received in the window"},
    {"dns.encrypted", AttributeType::kText, Sensitivity::kNone,
     "the destination serves encrypted DNS: `dot` or `doq` by its port, `doh` or `doh3` by its "
     "address or name"},
    // Lookups.
    {"dns.question.type", AttributeType::kText, Sensitivity::kNone,
     "type of the question: `A`, `AAAA` and so on"},
    {"server.address", AttributeType::kText, Sensitivity::kNone,
     "address of the DNS server that was asked, or of the last one"},
    {"server.port", AttributeType::kInteger, Sensitivity::kNone, "port of that server"},
    {"dns.queries", AttributeType::kInteger, Sensitivity::kNone,
     "packets with the question that the program sent"},
    {"dns.trailing_bytes", AttributeType::kInteger, Sensitivity::kNone,
     "bytes behind the DNS messages of the lookup, in the same datagrams or TCP frames"},
    {"dns.question.class", AttributeType::kText, Sensitivity::kNone,
     "class of the question, where it is not `IN`: `CH` and so on"},
    {"dns.question.count", AttributeType::kInteger, Sensitivity::kNone,
     "number of questions in the query, where it is not one; `target.host` is the first"},
    {"dns.opcode", AttributeType::kText, Sensitivity::kNone,
     "operation of a DNS message that is no lookup: `UPDATE`, `NOTIFY` and so on, or `QUERY` for a "
     "query without a question"},
    {"dns.announcement", AttributeType::kFlag, Sensitivity::kNone,
     "`true` for an mDNS response that the sandbox sent"},
    {"dns.address_hints", AttributeType::kTextList, Sensitivity::kNone,
     "addresses in the HTTPS and SVCB records of the answer"},
    {"dns.upstream.server", AttributeType::kText, Sensitivity::kNone,
     "address and port that a DNS server within the sandbox asked for the lookup; the last one"},
    {"dns.upstream.response_code", AttributeType::kText, Sensitivity::kNone,
     "response code of that server's answer"},
    {"dns.response_code", AttributeType::kText, Sensitivity::kNone,
     "response code of the answer: `NOERROR`, `NXDOMAIN` and so on"},
    {"dns.duration_ms", AttributeType::kReal, Sensitivity::kNone,
     "time from the question to the answer, in milliseconds"},
    {"dns.allow_ms", AttributeType::kReal, Sensitivity::kNone,
     "longest time from an answer to the rule that allows its address, in milliseconds"},
    // Outcomes.
    {"egress.outcome", AttributeType::kText, Sensitivity::kNone,
     "outcome of a lookup: `ok`, `nxdomain`, `servfail`, `refused`, `denied`, `timeout`, "
     "`malformed` or `other`"},
    {"egress.layer", AttributeType::kText, Sensitivity::kNone,
     "where policy denied: `dns`, `netfilter` or `cgroup`"},
    {"error", AttributeType::kText, Sensitivity::kNone,
     "the error in words, or the name of the errno"},
    {"error.type", AttributeType::kText, Sensitivity::kNone,
     "class of the failure: `refused`, `timeout`, `unreachable`, `reset`, `cancelled` or `_OTHER`"},
    {"count", AttributeType::kInteger, Sensitivity::kNone, "denials that the record counts"},
    {"egress.attempts", AttributeType::kInteger, Sensitivity::kNone, "attempts in the window"},
    {"egress.established", AttributeType::kInteger, Sensitivity::kNone,
     "attempts in the window that succeeded"},
    {"egress.denied", AttributeType::kInteger, Sensitivity::kNone, "denials in the window"},
    {"egress.failed", AttributeType::kInteger, Sensitivity::kNone,
     "attempts in the window that failed"},
    {"egress.first_contact", AttributeType::kFlag, Sensitivity::kNone,
     "`true` if the sandbox had no contact with the destination before the window"},
    {"egress.denied_before", AttributeType::kFlag, Sensitivity::kNone,
     "`true` if an added address was denied in the five seconds before"},
    // Rules.
    {"egress.default", AttributeType::kText, Sensitivity::kNone,
     "action for traffic that no rule matches: `allow` or `deny`"},
    {"rules", AttributeType::kRuleList, Sensitivity::kHost,
     "rules that were loaded, added or altered"},
    {"rules.count", AttributeType::kInteger, Sensitivity::kNone,
     "number of these rules, where they are over 16 KiB"},
    {"rules.sha256", AttributeType::kText, Sensitivity::kNone,
     "SHA-256 of the lines `ACTION TARGET` of these rules, where they are over 16 KiB"},
    {"rules.removed", AttributeType::kRuleList, Sensitivity::kHost, "rules that were removed"},
    {"rules.removed.count", AttributeType::kInteger, Sensitivity::kNone,
     "number of the removed rules, where they are over 16 KiB"},
    {"rules.removed.sha256", AttributeType::kText, Sensitivity::kNone,
     "SHA-256 of the lines `ACTION TARGET` of the removed rules, where they are over 16 KiB"},
    {"rules.source", AttributeType::kText, Sensitivity::kNone,
     "where the rules were read: `nftables`; or `environment` or `file` of an egress sidecar, or "
     "its `default`"},
    {"rules.table_flags", AttributeType::kTextList, Sensitivity::kNone,
     "tables with flags, as `inet fence dormant`, after the change"},
    {"rules.unreadable", AttributeType::kText, Sensitivity::kNone,
     "`xtables`: rules of iptables-legacy are in force too, and are not in the list"},
    {"nftables.generation", AttributeType::kInteger, Sensitivity::kNone,
     "generation of the rule set"},
    {"nftables.operation", AttributeType::kText, Sensitivity::kNone,
     "`dynamic`: the transaction added elements with a timeout"},
    {"nftables.transactions", AttributeType::kInteger, Sensitivity::kNone,
     "transactions that the record covers, where there is more than one"},
    // Totals of a sandbox, on sandbox.stopped.
    {"sandbox.dns.lookups", AttributeType::kInteger, Sensitivity::kNone, "lookups"},
    {"sandbox.connect.attempts", AttributeType::kInteger, Sensitivity::kNone,
     "connection attempts"},
    {"sandbox.process.execs", AttributeType::kInteger, Sensitivity::kNone, "programs started"},
    {"sandbox.process.exits", AttributeType::kInteger, Sensitivity::kNone, "processes ended"},
    {"sandbox.egress.destinations", AttributeType::kInteger, Sensitivity::kNone,
     "distinct destinations"},
    {"sandbox.egress.destinations.estimated", AttributeType::kFlag, Sensitivity::kNone,
     "`true` if that number is an estimate: there were more than the ledger holds (HyperLogLog, "
     "standard error 1.6 %)"},
    {"sandbox.egress.denied", AttributeType::kInteger, Sensitivity::kNone, "denials"},
    {"sandbox.dns.answers_ignored", AttributeType::kInteger, Sensitivity::kNone,
     "DNS answers that were ignored: no question was asked of their sender"},
    {"sandbox.dns.messages_malformed", AttributeType::kInteger, Sensitivity::kNone,
     "DNS messages that could not be parsed"},
    // Completeness.
    {"sandpiper.escaped_texts", AttributeType::kInteger, Sensitivity::kNone,
     "texts that had to be escaped"},
    {"sandpiper.produced", AttributeType::kInteger, Sensitivity::kNone,
     "events that the BPF programs counted"},
    {"sandpiper.delivered", AttributeType::kInteger, Sensitivity::kNone,
     "events that sandpiper processed"},
    {"sandpiper.dropped", AttributeType::kInteger, Sensitivity::kNone, "events lost on the way"},
    {"sandpiper.dropped.*", AttributeType::kInteger, Sensitivity::kNone,
     "events lost on the way, by reason and kind: `sandpiper.dropped.REASON.KIND`"},
};

// The subject of the process attributes, and whether a record has those of a part of the sandbox.
enum class EventSubject : uint8_t {
  kNone,     // the record has neither
  kProcess,  // both: the process that caused the event, and the part of the sandbox that it is of
  kActor,    // process attributes of the process that changed the rules, sandbox.role and actor
};

struct EventRow {
  const char* name;
  std::array<Severity, 3> levels;  // the first is the usual one; unused ones are 0
  EventSubject subject;
  const char* one_record_for;
  std::array<const char*, 28> attributes;  // besides those of its subject; unused ones are null
};

inline constexpr EventRow kEvents[] = {
    {.name = "egress.outbound",
     .levels = {Severity::kInfo},
     .subject = EventSubject::kProcess,
     .one_record_for = "a DNS lookup that ended, unless policy denied it; a DNS message "
                       "that is no lookup; and a connection "
                       "attempt to an address that no lookup of this sandbox explains",
     .attributes = {"target.host",
                    "target.host.source",
                    "dns.question.type",
                    "target.ips",
                    "server.address",
                    "server.port",
                    "dns.queries",
                    "dns.trailing_bytes",
                    "dns.question.class",
                    "dns.question.count",
                    "dns.opcode",
                    "dns.announcement",
                    "dns.address_hints",
                    "dns.upstream.server",
                    "dns.upstream.response_code",
                    "egress.outcome",
                    "error",
                    "dns.response_code",
                    "dns.duration_ms",
                    "peer",
                    "network.peer.address",
                    "network.peer.port",
                    "network.transport",
                    "network.type",
                    "dns.encrypted"}},
    {.name = "egress.failed",
     .levels = {Severity::kInfo},
     .subject = EventSubject::kProcess,
     .one_record_for = "a connection attempt that failed, or a connection that the peer reset",
     .attributes = {"target.host", "target.host.source", "peer", "network.peer.address",
                    "network.peer.port", "network.transport", "network.type", "dns.encrypted",
                    "error.type", "error"}},
    {.name = "egress.denied",
     .levels = {Severity::kWarn},
     .subject = EventSubject::kProcess,
     .one_record_for = "the first denial of a destination and layer in a window, at once; and "
                       "one for all further denials of them, at the end of the window",
     .attributes = {"target.host", "target.host.source", "peer", "network.peer.address",
                    "network.peer.port", "network.transport", "network.type", "server.address",
                    "server.port", "dns.encrypted", "dns.question.type", "egress.layer", "count"}},
    {.name = "egress.loaded",
     .levels = {Severity::kInfo, Severity::kWarn},
     .subject = EventSubject::kActor,
     .one_record_for = "the first rule set seen in a network namespace of the sandbox; and the "
                       "policy that an egress sidecar was started with",
     .attributes = {"rules.source", "egress.default", "rules", "rules.count", "rules.sha256",
                    "rules.removed", "rules.removed.count", "rules.removed.sha256",
                    "rules.table_flags", "rules.unreadable", "nftables.generation",
                    "nftables.transactions", "error"}},
    {.name = "egress.updated",
     .levels = {Severity::kInfo, Severity::kWarn, Severity::kDebug},
     .subject = EventSubject::kActor,
     .one_record_for = "a committed change of these rules; with `--log-level debug` also one for "
                       "elements with a timeout that were added",
     .attributes = {"rules.source", "egress.default", "rules", "rules.count", "rules.sha256",
                    "rules.removed", "rules.removed.count", "rules.removed.sha256",
                    "rules.table_flags", "rules.unreadable", "nftables.generation",
                    "nftables.transactions", "nftables.operation", "target.host", "dns.allow_ms",
                    "egress.denied_before", "error"}},
    {.name = "egress.update_failed",
     .levels = {Severity::kWarn},
     .subject = EventSubject::kActor,
     .one_record_for = "a change of the rules that the kernel rejected or undid",
     .attributes = {"error"}},
    {.name = "egress.expired",
     .levels = {Severity::kDebug},
     .subject = EventSubject::kNone,
     .one_record_for = "an element that timed out while a connection to its address was open",
     .attributes = {"target.host", "peer"}},
    {.name = "egress.destination",
     .levels = {Severity::kInfo},
     .subject = EventSubject::kNone,
     .one_record_for = "a destination and window; and one for all destinations over the limit "
                       "(`--destinations-max`), without their address",
     .attributes = {"target.host", "target.host.source", "peer", "network.peer.address",
                    "network.peer.addresses", "network.peer.port", "network.transport",
                    "dns.encrypted", "egress.attempts", "egress.established", "egress.denied",
                    "egress.failed", "network.io.sent", "network.io.received",
                    "egress.first_contact"}},
    {.name = "process.exec",
     .levels = {Severity::kInfo},
     .subject = EventSubject::kProcess,
     .one_record_for = "a program that starts",
     .attributes = {"process.command_args", "process.args_truncated", "process.working_directory",
                    "process.ancestors", "process.interpreted_script"}},
    {.name = "process.exit",
     .levels = {Severity::kInfo},
     .subject = EventSubject::kProcess,
     .one_record_for = "a process that ends",
     .attributes = {"process.exit.code", "process.exit.signal", "process.exit.oom",
                    "process.duration_ms"}},
    {.name = "sandbox.started",
     .levels = {Severity::kInfo},
     .subject = EventSubject::kNone,
     .one_record_for = "a sandbox, when sandpiper begins to watch it",
     .attributes = {}},
    {.name = "sandbox.stopped",
     .levels = {Severity::kInfo},
     .subject = EventSubject::kNone,
     .one_record_for = "a sandbox, when it ends or sandpiper stops",
     .attributes = {"sandbox.dns.lookups", "sandbox.connect.attempts", "sandbox.process.execs",
                    "sandbox.process.exits", "sandbox.egress.destinations",
                    "sandbox.egress.destinations.estimated", "sandbox.egress.denied",
                    "sandbox.dns.answers_ignored", "sandbox.dns.messages_malformed",
                    "sandpiper.escaped_texts", "sandpiper.produced", "sandpiper.delivered",
                    "sandpiper.dropped", "sandpiper.dropped.*"}},
    {.name = "sandpiper.loss",
     .levels = {Severity::kWarn},
     .subject = EventSubject::kNone,
     .one_record_for = "a sandbox and window in which events were lost",
     .attributes = {"sandpiper.dropped", "sandpiper.dropped.*"}},
};

// The attributes of every record, and those of each EventSubject.
inline constexpr const char* kEveryRecordAttributes[] = {"opensandbox.event", "sandbox_id"};
inline constexpr const char* kProcessAttributes[] = {
    "process.pid", "process.parent_pid", "process.executable.path", "process.executable.name"};
inline constexpr const char* kPartAttributes[] = {
    "sandbox.role",   "sandbox.attribution",  "container.id",
    "container.name", "container.image.name", "k8s.container.name",
    "k8s.pod.name",   "k8s.pod.uid",          "k8s.namespace.name"};
inline constexpr const char* kActorAttributes[] = {"sandbox.role", "actor", "actor.sandbox_id"};

// Null if the catalogue has no such attribute.
constexpr const AttributeRow* FindAttribute(std::string_view name) {
  for (const AttributeRow& row : kEventAttributes) {
    if (name == row.name)
      return &row;
  }
  return nullptr;
}

// A row "a.b.*" is a family: the last part of the key is made at run time.
constexpr bool IsFamily(std::string_view name) { return name.ends_with(".*"); }

// Every sensitive attribute can be masked: numbers and flags cannot. Every attribute of an event is
// in the catalogue.
consteval bool IsCatalogConsistent() {
  for (const AttributeRow& row : kEventAttributes) {
    const bool can_be_masked = row.type == AttributeType::kText ||
                               row.type == AttributeType::kTextList ||
                               row.type == AttributeType::kRuleList;
    if (row.sensitivity != Sensitivity::kNone && (!can_be_masked || IsFamily(row.name)))
      return false;
  }
  for (const EventRow& event : kEvents) {
    for (const char* const name : event.attributes) {
      if (name && !FindAttribute(name))
        return false;
    }
  }
  return true;
}
static_assert(IsCatalogConsistent());

// The sensitivity of a key that is known at run time only; kNone if the catalogue does not have it.
Sensitivity SensitivityOf(std::string_view key);

// All attributes that records of `event` may have, in the order of the catalogue; families by the
// name of their row. Those that the user adds are not among them.
std::vector<const AttributeRow*> AttributesOf(const EventRow& event);

// "text", "integer", "real", "flag", "list of text", "list of rules".
const char* Name(AttributeType type);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_AGGREGATE_EVENT_CATALOG_H_
