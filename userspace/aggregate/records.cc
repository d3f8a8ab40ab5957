// SPDX-License-Identifier: Apache-2.0
#include "userspace/aggregate/records.h"

#include <sys/wait.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "userspace/base/text.h"
#include "userspace/correlate/encrypted_dns.h"

namespace sandpiper {
namespace {

int64_t Int(uint64_t n) { return static_cast<int64_t>(n); }

void AddEncryptedDns(std::string_view host, const Address& address, uint16_t port,
                     Transport transport, LogRecord* record) {
  if (const char* const kind = EncryptedDns(host, address, port, transport))
    record->Add("dns.encrypted", SharedText::FromLiteral(kind));
}

void AddPeer(LogRecord* record, const Flow& flow) {
  if (!flow.name.empty()) {
    record->Add("target.host", flow.name);
    record->Add("target.host.source", SharedText::FromLiteral(Name(flow.name_source)));
  }
  if (!flow.is_destination_named())
    record->Add("peer", flow.peer.address.ToString());
  record->Add("network.peer.address", flow.peer.address.ToString());
  record->Add("network.peer.port", int64_t{flow.peer.port});
  record->Add("network.transport", SharedText::FromLiteral(Name(flow.transport)));
  record->Add("network.type", SharedText::FromLiteral(NetworkType(flow.peer.address)));
  AddEncryptedDns(flow.name, flow.peer.address, flow.peer.port, flow.transport, record);
}

void AddDestination(const DestinationKey& key, LogRecord* record) {
  if (!key.host.empty())
    record->Add("target.host", key.host);
  else
    record->Add("peer", key.address.ToString());
  record->Add("network.peer.port", int64_t{key.port});
  record->Add("network.transport", SharedText::FromLiteral(Name(key.transport)));
  AddEncryptedDns(key.host, key.address, key.port, key.transport, record);
}

std::vector<std::string> Texts(const Addresses& addresses) {
  std::vector<std::string> out;
  for (const Address& address : addresses)
    out.push_back(address.ToString());
  return out;
}

std::string Body(std::string_view what, const DestinationView& target) {
  std::string out = RecordBuilder::BeginBody(what);
  target.AppendTo(&out);
  return out;
}

}  // namespace

LogRecord RecordMaker::Outbound(const Flow& flow, const Process* process, int64_t unix_offset) {
  LogRecord record = Begin("egress.outbound", Severity::kInfo,
                           Body("egress outbound ", ViewOf(flow)), flow.started_ns, unix_offset);
  AddPeer(&record, flow);
  AddProcess(&record, flow.process, flow.comm, process);
  AddOrigin(&record, flow.origin);
  return record;
}

LogRecord RecordMaker::Failed(const Flow& flow, const Process* process, int64_t unix_offset) {
  const char* const type = flow.reset                               ? "reset"
                           : flow.outcome == ConnectOutcome::kOther ? "_OTHER"
                                                                    : Name(flow.outcome);
  std::string body = Body("egress failed ", ViewOf(flow));
  absl::StrAppend(&body, ": ", type);
  LogRecord record =
      Begin("egress.failed", Severity::kInfo, std::move(body), flow.started_ns, unix_offset);
  AddPeer(&record, flow);
  record.Add("error.type", SharedText::FromLiteral(type));
  if (const char* const error = flow.error != 0 ? strerrordesc_np(flow.error) : nullptr)
    record.Add("error", SharedText::FromLiteral(error));
  AddProcess(&record, flow.process, flow.comm, process);
  AddOrigin(&record, flow.origin);
  return record;
}

LogRecord RecordMaker::Denied(const Denial& denial, const Process* process, int64_t unix_offset) {
  LogRecord record = Begin("egress.denied", Severity::kWarn,
                           absl::StrCat("egress denied ", denial.destination.ToString()),
                           denial.time_ns, unix_offset);
  if (!denial.destination.host.empty())
    record.Add("target.host", denial.destination.host);
  if (denial.name_source)
    record.Add("target.host.source", SharedText::FromLiteral(Name(*denial.name_source)));
  if (denial.peer) {
    record.Add("peer", denial.peer->ToString());
    record.Add("network.peer.address", denial.peer->ToString());
  }
  record.Add("network.peer.port", int64_t{denial.destination.port});
  record.Add("network.transport", SharedText::FromLiteral(Name(denial.destination.transport)));
  if (denial.peer || denial.server) {
    const Address& address = denial.peer ? *denial.peer : denial.server->address;
    record.Add("network.type", SharedText::FromLiteral(NetworkType(address)));
  }
  if (denial.server)
    AddServer(*denial.server, &record);
  if (denial.question_type)
    record.Add("dns.question.type", DnsTypeName(*denial.question_type));
  record.Add("egress.layer", SharedText::FromLiteral(Name(denial.layer)));
  record.Add("count", int64_t{1});
  AddProcess(&record, denial.process, denial.comm, process);
  AddOrigin(&record, denial.origin);
  return record;
}

LogRecord RecordMaker::Denied(const Denials::WindowEntry& entry, uint64_t time_ns,
                              int64_t unix_offset) {
  const std::string where =
      entry.destination ? entry.destination->ToString() : "further destinations";
  LogRecord record = Begin("egress.denied", Severity::kWarn,
                           absl::StrCat("egress denied ", where, ": ", entry.count, " more"),
                           time_ns, unix_offset);
  if (entry.destination)
    AddDestination(*entry.destination, &record);
  else
    record.Add("network.transport", SharedText::FromLiteral(Name(entry.transport)));
  if (entry.name_source)
    record.Add("target.host.source", SharedText::FromLiteral(Name(*entry.name_source)));
  if (entry.peer)
    record.Add("network.peer.address", entry.peer->ToString());
  if (entry.server)
    AddServer(*entry.server, &record);
  record.Add("egress.layer", SharedText::FromLiteral(Name(entry.layer)));
  record.Add("count", Int(entry.count));
  return record;
}

LogRecord RecordMaker::Destination(const Ledger::WindowEntry& entry, uint64_t time_ns,
                                   int64_t unix_offset) {
  const std::string where = entry.key ? entry.key->ToString() : "further destinations";
  LogRecord record = Begin("egress.destination", Severity::kInfo,
                           absl::StrCat("egress destination ", where), time_ns, unix_offset);
  if (entry.key)
    AddDestination(*entry.key, &record);
  if (entry.key && !entry.key->host.empty())
    record.Add("target.host.source", SharedText::FromLiteral(Name(entry.name_source)));
  if (entry.key)
    record.Add("network.peer.address", entry.last_address.ToString());
  if (entry.addresses.size() > 1)
    record.Add("network.peer.addresses", Texts(entry.addresses));
  const DestinationStats& window = entry.stats;
  record.Add("egress.attempts", Int(window.attempts));
  record.Add("egress.established", Int(window.established));
  record.Add("egress.denied", Int(window.denied));
  record.Add("egress.failed", Int(window.failed));
  record.Add("network.io.sent", Int(window.sent));
  record.Add("network.io.received", Int(window.received));
  if (entry.key)
    record.Add("egress.first_contact", entry.first_contact);
  return record;
}

LogRecord RecordMaker::Exec(const Process& process, const std::vector<SharedText>& ancestors,
                            int64_t unix_offset) {
  LogRecord record =
      Begin("process.exec", Severity::kInfo,
            absl::StrCat("process exec ", Escape(process.path.view()), " pid ", process.key.pid),
            process.exec_ns, unix_offset);
  AddProcess(&record, process.key, process.comm, &process);
  AddOrigin(&record, process.origin);
  std::vector<std::string> args;
  for (const std::string& arg : process.args)
    args.push_back(Clean(arg));
  record.Add("process.command_args", std::move(args));
  if (process.args_truncated)
    record.Add("process.args_truncated", true);
  AddText(&record, "process.working_directory", process.working_directory);
  std::vector<std::string> escaped;
  for (const SharedText& path : ancestors)
    escaped.push_back(Escape(path.view()));
  if (!escaped.empty())
    record.Add("process.ancestors", std::move(escaped));
  AddText(&record, "process.interpreted_script", process.script);
  return record;
}

LogRecord RecordMaker::Exit(const Process& process, int64_t unix_offset) {
  const int status = static_cast<int>(process.status);
  const bool signaled = WIFSIGNALED(status);
  const int code = signaled ? WTERMSIG(status) : WEXITSTATUS(status);
  LogRecord record = Begin(
      "process.exit", Severity::kInfo,
      absl::StrCat("process exit pid ", process.key.pid, signaled ? " signal " : " code ", code),
      process.exited_ns, unix_offset);
  AddProcess(&record, process.key, process.comm, &process);
  AddOrigin(&record, process.origin);
  if (signaled)
    record.Add("process.exit.signal", int64_t{code});
  else
    record.Add("process.exit.code", int64_t{code});
  if (process.oom_killed)
    record.Add("process.exit.oom", true);
  record.Add("process.duration_ms", Milliseconds(process.duration_ns()));
  return record;
}

LogRecord RecordMaker::Started(uint64_t time_ns, int64_t unix_offset) {
  return Begin("sandbox.started", Severity::kInfo, "sandbox started", time_ns, unix_offset);
}

LogRecord RecordMaker::Stopped(const SandboxTotals& totals, uint64_t time_ns, int64_t unix_offset) {
  LogRecord record =
      Begin("sandbox.stopped", Severity::kInfo, "sandbox stopped", time_ns, unix_offset);
  record.Add("sandbox.dns.lookups", Int(totals.lookups));
  record.Add("sandbox.connect.attempts", Int(totals.attempts));
  record.Add("sandbox.process.execs", Int(totals.execs));
  record.Add("sandbox.process.exits", Int(totals.exits));
  record.Add("sandbox.egress.destinations", Int(totals.destinations));
  if (totals.destinations_estimated)
    record.Add("sandbox.egress.destinations.estimated", true);
  record.Add("sandbox.egress.denied", Int(totals.denied));
  record.Add("sandbox.dns.answers_ignored", Int(totals.ignored_answers));
  record.Add("sandbox.dns.messages_malformed", Int(totals.malformed_messages));
  record.Add("sandpiper.escaped_texts", Int(totals.escaped_texts));
  record.Add("sandpiper.produced", Int(totals.produced));
  record.Add("sandpiper.delivered", Int(totals.delivered));
  uint64_t dropped = 0;
  for (const auto& [kind, count] : totals.dropped) {
    if (kind != kNoMemory)  // such events are not part of `produced`
      dropped += count;
    record.attributes.emplace_back(AttributeFamily("sandpiper.dropped.*"), kind, Int(count));
  }
  record.Add("sandpiper.dropped", Int(dropped));
  return record;
}

LogRecord RecordMaker::Loss(const std::vector<std::pair<std::string, uint64_t>>& dropped,
                            uint64_t time_ns, int64_t unix_offset) {
  uint64_t sum = 0;
  for (const auto& [what, count] : dropped)
    sum += count;
  LogRecord record = Begin("sandpiper.loss", Severity::kWarn,
                           absl::StrCat(sum, " events were not delivered"), time_ns, unix_offset);
  for (const auto& [what, count] : dropped)
    record.attributes.emplace_back(AttributeFamily("sandpiper.dropped.*"), what, Int(count));
  record.Add("sandpiper.dropped", Int(sum));
  return record;
}

}  // namespace sandpiper
