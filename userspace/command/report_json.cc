// SPDX-License-Identifier: Apache-2.0
#include <rapidjson/prettywriter.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>
#include <sys/wait.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "userspace/base/clock.h"
#include "userspace/command/report_data.h"

namespace sandpiper {
namespace {

using Writer = rapidjson::PrettyWriter<rapidjson::StringBuffer>;

// Writes fields, objects and arrays in one call each.
class Json {
 public:
  explicit Json(Writer* writer) : writer_(writer) {}

  void Field(const char* key, const std::string& text) {
    writer_->Key(key);
    Text(text);
  }
  void Field(const char* key, uint64_t number) {
    writer_->Key(key);
    writer_->Uint64(number);
  }
  void Field(const char* key, double number) {
    writer_->Key(key);
    writer_->Double(number);
  }
  void Field(const char* key, bool value) {
    writer_->Key(key);
    writer_->Bool(value);
  }
  void Field(const char* key, const std::vector<std::string>& list) {
    writer_->Key(key);
    writer_->StartArray();
    for (const std::string& item : list)
      Text(item);
    writer_->EndArray();
  }
  void Counts(const char* key, const NamedCounts& counts) {
    writer_->Key(key);
    writer_->StartObject();
    for (const auto& [name, count] : counts)
      Field(name, count);
    writer_->EndObject();
  }
  template <typename Body>
  void Object(const char* key, Body body) {
    if (key)
      writer_->Key(key);
    writer_->StartObject();
    body();
    writer_->EndObject();
  }
  template <typename Body>
  void Array(const char* key, Body body) {
    writer_->Key(key);
    writer_->StartArray();
    body();
    writer_->EndArray();
  }

 private:
  void Text(const std::string& text) {
    writer_->String(text.data(), static_cast<rapidjson::SizeType>(text.size()));
  }

  Writer* writer_;
};

double Milliseconds(uint64_t ns) { return static_cast<double>(ns) / 1e6; }

std::vector<std::string> Texts(const Addresses& addresses) {
  std::vector<std::string> out;
  for (const Address& address : addresses)
    out.push_back(address.ToString());
  return out;
}

void WriteStatus(Json* json, uint32_t wait_status) {
  const int status = static_cast<int>(wait_status);
  if (WIFSIGNALED(status))
    json->Field("signal", static_cast<uint64_t>(WTERMSIG(status)));
  else
    json->Field("exit_code", static_cast<uint64_t>(WEXITSTATUS(status)));
}

// Since the sandbox began.
double Offset(const ReportInput& input, uint64_t time_ns) {
  const uint64_t began_ns = input.sandbox.started_ns();
  return Milliseconds(time_ns - std::min(time_ns, began_ns));
}

void WriteDestinations(Json* json, const ReportInput& input) {
  json->Array("destinations", [&] {
    for (const auto* entry : InOrder(input.sandbox.ledger().destinations())) {
      json->Object(nullptr, [&, &key = entry->first, &d = entry->second] {
        if (!key.host.empty())
          json->Field("host", input.redaction.Host(key.host));
        json->Field("addresses", Texts(d.addresses));
        json->Field("port", uint64_t{key.port});
        json->Field("transport", std::string(Name(key.transport)));
        json->Field("loopback", d.loopback);
        json->Field("first_ms", Offset(input, d.first_ns));
        json->Field("attempts", d.total.attempts);
        json->Counts("outcomes", Named<ConnectOutcome>(d.outcomes));
        json->Field("sent", d.total.sent);
        json->Field("received", d.total.received);
        if (d.total.established > 0) {
          json->Field("latency_mean_ms",
                      Milliseconds(d.latency_sum_ns) / static_cast<double>(d.total.established));
          json->Field("latency_max_ms", Milliseconds(d.latency_max_ns));
        }
      });
    }
  });
}

void WriteLookups(Json* json, const ReportInput& input) {
  json->Array("lookups", [&] {
    for (const auto* entry : InOrder(input.sandbox.ledger().questions())) {
      json->Object(nullptr, [&, &question = entry->first, &stats = entry->second] {
        json->Field("name", input.redaction.Host(question.name));
        json->Field("type",
                    question.name.empty() ? "" : std::string(DnsTypeName(question.type).view()));
        json->Field("lookups", stats.lookups);
        json->Counts("outcomes", Named<DnsOutcome>(stats.outcomes));
        json->Field("addresses", Texts(stats.addresses));
        json->Field("server", stats.server.ToString());
        json->Field("duration_max_ms", Milliseconds(stats.latency_max_ns));
      });
    }
  });
}

void WriteProcesses(Json* json, const ReportInput& input) {
  json->Array("processes", [&] {
    for (const Process* p : input.sandbox.processes().All()) {
      json->Object(nullptr, [&] {
        json->Field("pid", uint64_t{p->key.pid});
        json->Field("parent_pid", uint64_t{p->parent.pid});
        json->Field("path", input.redaction.Path(p->path.view()));
        json->Field("args", input.redaction.Arguments(p->args));
        if (p->args_truncated)
          json->Field("args_truncated", true);
        if (!p->script.empty())
          json->Field("script", input.redaction.Path(p->script.view()));
        json->Field("executed", p->exec_ns > 0);
        if (p->exited_ns > 0) {
          WriteStatus(json, p->status);
          json->Field("duration_ms", Milliseconds(p->duration_ns()));
        }
      });
    }
  });
}

// The beginning of both forms: what ran, how it ended, what was lost, and the two ledgers.
void WriteHead(Json* json, const ReportInput& input) {
  const SandboxSession& sandbox = input.sandbox;
  const std::vector<std::string> gaps = Gaps(input);
  json->Field("sandbox_id", sandbox.sandbox().id);
  json->Field("command", input.redaction.Arguments(input.command));
  WriteStatus(json, static_cast<uint32_t>(input.wait_status));
  const auto started = FormatTime(sandbox.started_ns() + static_cast<uint64_t>(UnixOffset()));
  json->Field("started", std::string(started.begin(), started.end()));
  json->Field("duration_ms", Milliseconds(input.ended_ns - sandbox.started_ns()));
  json->Field("complete", gaps.empty());
  json->Field("gaps", gaps);
  WriteDestinations(json, input);
  WriteLookups(json, input);
}

void WriteRules(Json* json, const RulesSummary& rules) {
  json->Object("rules", [&] {
    json->Field("state", std::string(RulesState(rules)));
    if (rules.state == RulesSummary::State::kKnown) {
      json->Field("default", std::string(rules.default_deny ? "deny" : "allow"));
      json->Field("count", rules.rules);
      json->Field("generation", uint64_t{rules.generation});
      if (rules.has_xtables)
        json->Field("unreadable", std::string("xtables"));
    }
    json->Field("changes", rules.changes);
    json->Field("changes_by_application", rules.changes_by_app);
    json->Field("refused", rules.refused);
  });
}

void WriteTotals(Json* json, const SandboxSession& sandbox) {
  const SandboxTotals totals = sandbox.Totals();
  json->Object("totals", [&] {
    json->Field("lookups", totals.lookups);
    json->Field("attempts", totals.attempts);
    json->Field("execs", totals.execs);
    json->Field("exits", totals.exits);
    json->Field("denied", totals.denied);
    json->Field("destinations", totals.destinations);
    json->Field("network_sent", sandbox.counters().sent);
    json->Field("network_received", sandbox.counters().received);
    json->Field("dns_answers_ignored", totals.ignored_answers);
    json->Field("dns_messages_malformed", totals.malformed_messages);
    json->Field("escaped_texts", totals.escaped_texts);
  });
}

void WriteProbes(Json* json, const std::vector<ProbeState>& probes) {
  json->Array("probes", [&] {
    for (const ProbeState& probe : probes) {
      json->Object(nullptr, [&] {
        json->Field("probe", probe.probe);
        json->Field("mechanism", probe.mechanism);
        if (!probe.reason.empty())
          json->Field("reason", probe.reason);
      });
    }
  });
}

void WriteAttempts(Json* json, const ReportInput& input, const PageLog& log) {
  json->Array("attempts", [&] {
    for (const Attempt& attempt : log.attempts) {
      const DestinationKey& to = attempt.destination;
      json->Object(nullptr, [&] {
        json->Field("at_ms", Offset(input, attempt.started_ns));
        json->Field("program", attempt.program);
        json->Field("target",
                    to.host.empty() ? to.address.ToString() : input.redaction.Host(to.host));
        json->Field("port", absl::StrCat(to.port, "/", Name(to.transport)));
        if (attempt.is_loopback)
          json->Field("loopback", true);
        json->Field("kind", std::string(Name(attempt.kind())));
        json->Field("outcome", std::string(attempt.outcome == ConnectOutcome::kPending
                                               ? "open"
                                               : Name(attempt.outcome)));
      });
    }
  });
  json->Field("omitted_attempts", log.omitted_attempts);
}

}  // namespace

std::string JsonReport(const ReportInput& input) {
  rapidjson::StringBuffer buffer;
  Writer writer(buffer);
  Json json(&writer);
  json.Object(nullptr, [&] {
    WriteHead(&json, input);
    WriteProcesses(&json, input);
    WriteRules(&json, input.sandbox.rules());
    WriteTotals(&json, input.sandbox);
    json.Object("events", [&] {
      for (const EventAccount& account : Account(input.sandbox)) {
        json.Object(account.kind.c_str(), [&] {
          json.Field("produced", account.produced);
          json.Field("delivered", account.delivered);
          json.Field("dropped", account.dropped);
        });
      }
    });
    WriteProbes(&json, input.probes);
  });
  return std::string(buffer.GetString(), buffer.GetSize()) + "\n";
}

std::string PageData(const ReportInput& input, const PageLog& log) {
  rapidjson::StringBuffer buffer;
  Writer writer(buffer);
  writer.SetIndent(' ', 0);  // there may be many attempts
  Json json(&writer);
  const SandboxTotals totals = input.sandbox.Totals();
  uint64_t produced = 0;
  for (const EventAccount& account : Account(input.sandbox))
    produced += account.produced;
  json.Object(nullptr, [&] {
    WriteHead(&json, input);
    WriteAttempts(&json, input, log);
    json.Field("omitted_records", log.omitted_records);
    json.Object("totals", [&] {
      json.Field("lookups", totals.lookups);
      json.Field("attempts", totals.attempts);
      json.Field("execs", totals.execs);
      json.Field("denied", totals.denied);
      json.Field("destinations", totals.destinations);
      json.Field("rule_changes", input.sandbox.rules().changes);
      json.Field("rule_changes_by_application", input.sandbox.rules().changes_by_app);
      json.Field("events", produced);
    });
  });
  return {buffer.GetString(), buffer.GetSize()};
}

}  // namespace sandpiper
