// SPDX-License-Identifier: Apache-2.0
// The functions of RecordMaker for records about nftables rules.
#include <openssl/evp.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "userspace/aggregate/records.h"

namespace sandpiper {

// The attributes of a list of rules: the list, or its length and digest if it is too long.
struct RulesKeys {
  AttributeKey<AttributeType::kRuleList> list;
  AttributeKey<AttributeType::kInteger> count;
  AttributeKey<AttributeType::kText> sha256;
};

namespace {

constexpr RulesKeys kRules = {"rules", "rules.count", "rules.sha256"};
constexpr RulesKeys kRemovedRules = {"rules.removed", "rules.removed.count",
                                     "rules.removed.sha256"};

// A longer rule set is reported as a digest: backends cut or reject longer attributes.
constexpr size_t kRulesBytesMax = 16 * 1024;

size_t Bytes(const std::vector<Rule>& rules) {
  size_t bytes = 0;
  for (const Rule& rule : rules)
    bytes += rule.action.size() + rule.target.size();
  return bytes;
}

// SHA-256 of the lines "ACTION TARGET\n" of all rules in their order, as sha256sum(1) prints it.
std::string Digest(const std::vector<Rule>& rules) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        EVP_MD_CTX_free);
  EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr);
  for (const Rule& rule : rules) {
    const std::string line = absl::StrCat(rule.action, " ", rule.target, "\n");
    EVP_DigestUpdate(context.get(), line.data(), line.size());
  }
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int bytes = 0;
  EVP_DigestFinal_ex(context.get(), digest, &bytes);
  return absl::BytesToHexString({reinterpret_cast<const char*>(digest), bytes});
}

}  // namespace

void RecordMaker::AddRules(LogRecord* record, const RulesKeys& keys, const std::vector<Rule>& rules,
                           uint64_t omitted) {
  std::vector<Rule> clean;
  for (const Rule& rule : rules)
    clean.push_back({rule.action, Clean(rule.target)});
  if (Bytes(clean) <= kRulesBytesMax && omitted == 0) {
    record->Add(keys.list, std::move(clean));
    return;
  }
  record->Add(keys.sha256, Digest(clean));
  record->Add(keys.count, static_cast<int64_t>(clean.size() + omitted));
}

void RecordMaker::AddActor(LogRecord* record, const RulesetActor& actor, ActorRole role,
                           const Process* process) {
  AddProcess(record, actor.process, actor.comm, process);
  if (role == ActorRole::kApp || role == ActorRole::kSidecar)
    record->Add("sandbox.role",
                role == ActorRole::kApp ? SharedText("app") : SharedText("sidecar"));
  else if (role == ActorRole::kHost)
    record->Add("actor", "host");
  if (role == ActorRole::kSandbox) {
    record->Add("actor", "sandbox");
    record->Add("actor.sandbox_id", Clean(actor.sandbox_id));
  }
}

LogRecord RecordMaker::RulesUpdated(const RulesetUpdate& update, ActorRole role,
                                    const Process* process, int64_t unix_offset) {
  const EventName event =
      update.is_first ? EventName("egress.loaded") : EventName("egress.updated");
  const bool known = update.rules.ok();
  // Neither the application nor another sandbox may change the rules of this one.
  const bool is_tampering = role == ActorRole::kApp || role == ActorRole::kSandbox;
  const Severity severity = !known || is_tampering ? Severity::kWarn : Severity::kInfo;
  std::string body = update.is_first ? "egress rules loaded" : "egress rules updated";
  if (!known)
    body = "egress rules unknown";
  else
    absl::StrAppend(&body, ": generation ", update.rules->generation, ", ",
                    update.change.added.size(), " added, ", update.change.removed.size(),
                    " removed");
  if (known && !update.rules->xtables.empty())
    absl::StrAppend(&body, ", rules of iptables-legacy not read");
  LogRecord record = Begin(event, severity, std::move(body), update.time_ns, unix_offset);
  record.Add("rules.source", "nftables");
  if (known) {
    std::vector<std::string> flags;
    for (const TableFlags& table : update.rules->tables)
      flags.push_back(Clean(ToString(table)));
    if (!flags.empty())
      record.Add("rules.table_flags", std::move(flags));
    if (!update.rules->xtables.empty())
      record.Add("rules.unreadable", "xtables");
    record.Add("egress.default",
               update.rules->default_deny ? SharedText("deny") : SharedText("allow"));
    AddRules(&record, kRules, update.change.added, update.rules->rules_omitted);
    if (!update.change.removed.empty())
      AddRules(&record, kRemovedRules, update.change.removed, 0);
    record.Add("nftables.generation", int64_t{update.rules->generation});
  } else {
    record.Add("error", absl::StrCat("the rules in force are unknown: ",
                                     std::string(update.rules.status().message())));
  }
  if (update.transactions > 1)
    record.Add("nftables.transactions", static_cast<int64_t>(update.transactions));
  if (update.actor)
    AddActor(&record, *update.actor, role, process);
  return record;
}

LogRecord RecordMaker::PolicyLoaded(const OpenSandboxPolicy& policy, const Process& process,
                                    uint64_t time_ns, int64_t unix_offset) {
  const bool known = policy.rules.ok();
  LogRecord record = Begin("egress.loaded", known ? Severity::kInfo : Severity::kWarn,
                           known ? absl::StrCat("egress rules loaded from the sidecar's ",
                                                policy.source, ": ", policy.rules->rules.size())
                                 : std::string("egress rules of the sidecar unknown"),
                           time_ns, unix_offset);
  record.Add("rules.source", policy.source);
  if (known) {
    record.Add("egress.default",
               policy.rules->default_deny ? SharedText("deny") : SharedText("allow"));
    AddRules(&record, kRules, policy.rules->rules, 0);
  } else {
    record.Add("error", std::string(policy.rules.status().message()));
  }
  record.Add("sandbox.role", "sidecar");
  AddProcess(&record, process.key, process.comm, &process);
  return record;
}

LogRecord RecordMaker::Allowed(const std::vector<AllowedElement>& elements,
                               const RulesetTransaction& transaction, ActorRole role,
                               const Process* process, int64_t unix_offset) {
  LogRecord record = Begin("egress.updated", Severity::kDebug,
                           absl::StrCat("egress elements added: ", elements.size()),
                           transaction.time_ns, unix_offset);
  record.Add("rules.source", "nftables");
  record.Add("nftables.operation", SharedText::FromLiteral(Name(transaction.operation)));
  std::vector<Rule> rules;
  std::vector<SharedText> hosts;
  std::optional<uint64_t> longest_ns;
  bool denied_before = false;
  for (const AllowedElement& e : elements) {
    rules.push_back({"other", absl::StrCat(e.element->address.ToString(), " in @", e.element->set,
                                           " for ", e.element->timeout_ms / 1000, " s")});
    if (!e.host.empty() && std::find(hosts.begin(), hosts.end(), e.host) == hosts.end())
      hosts.push_back(e.host);
    longest_ns = std::max(longest_ns, e.allowance.after_answer_ns);
    denied_before |= e.allowance.after_denial;
  }
  if (longest_ns)
    record.Add("dns.allow_ms", static_cast<double>(*longest_ns) / 1e6);
  if (denied_before)
    record.Add("egress.denied_before", true);
  AddRules(&record, kRules, rules, 0);
  if (hosts.size() == 1)
    record.Add("target.host", hosts[0]);
  if (transaction.actor)
    AddActor(&record, *transaction.actor, role, process);
  return record;
}

LogRecord RecordMaker::ExpiredInUse(const Address& address, const SharedText& host,
                                    uint64_t time_ns, int64_t unix_offset) {
  LogRecord record = Begin("egress.expired", Severity::kDebug,
                           absl::StrCat("egress element expired in use: ", address.ToString()),
                           time_ns, unix_offset);
  if (!host.empty())
    record.Add("target.host", host);
  record.Add("peer", address.ToString());
  return record;
}

LogRecord RecordMaker::UpdateFailed(const RulesetTransaction& failed, ActorRole role,
                                    const Process* process, int64_t unix_offset) {
  const std::string error = failed.error != 0 ? strerrorname_np(failed.error) : "aborted";
  LogRecord record =
      Begin("egress.update_failed", Severity::kWarn,
            absl::StrCat("egress rules not updated: ", error), failed.time_ns, unix_offset);
  record.Add("error", error);
  if (failed.actor)
    AddActor(&record, *failed.actor, role, process);
  return record;
}

}  // namespace sandpiper
