#include "userspace/sandbox_pipeline.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bpf/events.h"
#include "userspace/base/clock.h"
#include "userspace/event/decode.h"
#include "userspace/sandbox/proc.h"

namespace sandpiper {
namespace {

std::vector<Attribute> Identity(const SandboxIdentity& sandbox, const std::vector<Attribute>& extra) {
  std::vector<Attribute> identity = {{"sandbox_id", sandbox.id}};
  identity.insert(identity.end(), extra.begin(), extra.end());
  return identity;
}

uint64_t Sum(const std::array<uint64_t, KernelCounts::kKinds>& by_kind) {
  return std::accumulate(by_kind.begin(), by_kind.end(), uint64_t{0});
}

// Everything that was produced and will never be delivered, by reason and kind.
std::map<std::string, uint64_t> Losses(const KernelCounts& counters, const DeliveryCounts& delivery) {
  std::map<std::string, uint64_t> out;
  for (uint16_t kind = 1; kind < EVENT_KIND_COUNT; ++kind) {
    if (counters.dropped[kind] > 0)
      out[absl::StrCat("ring_full.", KindName(kind))] = counters.dropped[kind];
    if (counters.limited[kind] > 0)
      out[absl::StrCat("rate_limited.", KindName(kind))] = counters.limited[kind];
  }
  for (const auto& [key, count] : delivery.lost)
    out[absl::StrCat(std::get<1>(key), ".", KindName(std::get<2>(key)))] += count;
  if (counters.storage_failed > 0)
    out[kNoMemory] = counters.storage_failed;
  return out;
}

}  // namespace

SandboxPipeline::SandboxPipeline(SandboxIdentity sandbox, const PipelineOptions& options, FlowTable::ReadUdp read_udp, RecordSink sink,
                                 uint64_t now_ns)
    : sandbox_(std::move(sandbox)),
      dns_ports_(options.dns_ports),
      sink_(std::move(sink)),
      log_level_(options.log_level),
      started_ns_(now_ns),
      recorded_unix_offset_(options.recorded_unix_offset),
      unix_offset_(recorded_unix_offset_.value_or(UnixOffset())),
      start_unix_ns_(now_ns + static_cast<uint64_t>(unix_offset_)),
      processes_(options.exited_max),
      lookups_({.timeout_ns = options.dns_timeout_ns}),
      names_(options.names_max),
      allowances_(options.names_max),
      flows_(options.flows_max, std::move(read_udp)),
      ledger_(options.destinations_max),
      denials_(options.destinations_max),
      metrics_(options.histograms),
      records_(Identity(sandbox_, options.extra_attributes)) {
  Emit(records_.Started(started_ns_, unix_offset_));
}

void SandboxPipeline::OnEvent(const Event& event) {
  ++delivery_.delivered[event.kind];
  std::visit([&](const auto& what) { On(what, event.time_ns); }, event.what);
}

std::array<Origin, 3> SandboxPipeline::AddMember(std::vector<Attribute> attributes) {
  return {records_.AddOrigin(std::move(attributes)), kByNamespace, kByProcess};
}

void SandboxPipeline::OnCounters(const KernelCounts& counters) {
  counters_ = counters;
  if (ended_members_)
    counters_ += *ended_members_;
}

void SandboxPipeline::OnMemberEnded(const KernelCounts& counters, const ResourceUse& use) {
  if (!ended_members_)
    ended_members_ = std::make_unique<KernelCounts>();
  *ended_members_ += counters;
  ended_use_.user_seconds += use.user_seconds;
  ended_use_.system_seconds += use.system_seconds;
}

void SandboxPipeline::OnLivingSockets(const absl::flat_hash_set<uint64_t>& living, uint64_t now_ns) {
  if (counters_.untold(EVENT_CLOSE) + counters_.untold(EVENT_CONNECT_RESULT) == 0)
    return;
  FlowChanges changes;
  flows_.EndUnseen(living, now_ns, &changes);
  Apply(changes);
}

void SandboxPipeline::OnExisting(const Exec& process) { processes_.OnExec(process, 0, /*from_proc=*/true); }

void SandboxPipeline::On(const Exec& exec, uint64_t time_ns) {
  const Process& process = processes_.OnExec(exec, time_ns);
  EmitInfo([&] { return records_.Exec(process, processes_.Ancestors(process), unix_offset_); });
  if (!IsOpenSandboxEgress(process.path.view()) || recorded_unix_offset_)
    return;
  if (const auto policy = ReadOpenSandboxPolicy(static_cast<pid_t>(process.key.pid)))
    Emit(records_.PolicyLoaded(*policy, process, unix_offset_));
}

void SandboxPipeline::On(const Exit& exit, uint64_t time_ns) {
  const Process& process = processes_.OnExit(exit, time_ns);
  metrics_.OnExit(process);
  EmitInfo([&] { return records_.Exit(process, unix_offset_); });
}

void SandboxPipeline::On(const Fork& fork, uint64_t time_ns) { processes_.OnFork(fork, time_ns); }

void SandboxPipeline::On(const Connect& connect, uint64_t time_ns) {
  FlowChanges changes;
  const bool local = connect.peer.address.is_loopback();
  const Flow flow = {.origin = connect.origin,
                     .cookie = connect.cookie,
                     .transport = connect.transport,
                     .process = connect.process,
                     .comm = connect.comm,
                     .guest = connect.guest,
                     .peer = connect.peer,
                     .name = local ? "" : names_.Find(connect.peer.address, time_ns),
                     .started_ns = time_ns};
  const bool kept = flows_.OnConnect(flow, &changes);
  Apply(changes);
  ledger_.OnAttempt(flow);
  if (!IsDnsStream(flow))
    Outbound(flow);
  if (!kept) {
    Flow lost = flow;
    lost.outcome = ConnectOutcome::kUnknown;
    lost.decided_ns = time_ns;
    metrics_.OnDecided(lost);
  }
}

void SandboxPipeline::On(const ConnectResult& result, uint64_t time_ns) {
  FlowChanges changes;
  flows_.OnResult(result, time_ns, &changes);
  Apply(changes);
}

void SandboxPipeline::On(const Denied& denied, uint64_t time_ns) {
  if (const Flow* flow = flows_.OnDenied(denied)) {
    Deny(DenialOf(*flow, time_ns), 1);
    return;
  }
  // A connection from before the sandbox was watched, or one too many to follow.
  Deny(DenialOf({.origin = denied.origin,
                 .cookie = denied.cookie,
                 .transport = denied.transport,
                 .process = denied.process,
                 .comm = denied.comm,
                 .peer = denied.peer,
                 .name = names_.Find(denied.peer.address, time_ns),
                 .denied_by = DenialLayer::kNetfilter},
                time_ns),
       1);
}

void SandboxPipeline::On(const Close& close, uint64_t time_ns) {
  FlowChanges changes;
  flows_.OnClose(close, time_ns, &changes);
  Apply(changes);
  lookups_.OnClose(close.cookie);
  dns_streams_.erase(close.cookie);
}

void SandboxPipeline::On(const DnsPayload& payload, uint64_t time_ns) {
  if (payload.transport == Transport::kTcp)
    dns_streams_.insert(payload.cookie);
  DnsChanges changes;
  // By the time of the event, not of its reading: a late answer is late however busy we were.
  lookups_.Expire(time_ns, /*all=*/false, &changes);
  lookups_.OnPayload(payload, time_ns, &changes);
  Apply(changes, time_ns);
}

void SandboxPipeline::Apply(const DnsChanges& changes, uint64_t time_ns) {
  for (const Address& address : changes.forwarded) {
    if (const auto after = allowances_.OnAnswer(address, time_ns))
      metrics_.OnAllowed(*after);
  }
  for (const Learned& learned : changes.learned) {
    if (const auto after = allowances_.OnAnswer(learned.address, time_ns))
      metrics_.OnAllowed(*after);
    names_.Learn(learned.address, learned.name, learned.ttl_seconds, time_ns);
  }
  for (const Lookup& lookup : changes.done) {
    metrics_.OnLookup(lookup);
    ledger_.OnLookup(lookup);
    if (lookup.refused_sends > 0)
      Deny(DenialOf(lookup, DenialLayer::kNetfilter), lookup.refused_sends);
    if (lookup.outcome != DnsOutcome::kDenied) {
      EmitInfo([&] { return records_.Lookup(lookup, processes_.Find(lookup.process), unix_offset_); });
    } else if (lookup.denied_by == DenialLayer::kDns) {
      metrics_.OnDenied(DenialLayer::kDns, lookup.transport);
      Deny(DenialOf(lookup, DenialLayer::kDns), 1);
    }
  }
}

void SandboxPipeline::Apply(const FlowChanges& changes) {
  for (const FlowChange& change : changes) {
    if (change.decided)
      Decided(change.flow);
    if (change.ended)
      Ended(change.flow);
  }
}

// A connection to the DNS port is a lookup if it speaks DNS, and is known to be none only when it ends.
bool SandboxPipeline::IsDnsStream(const Flow& flow) const {
  return flow.transport == Transport::kTcp && std::find(dns_ports_.begin(), dns_ports_.end(), flow.peer.port) != dns_ports_.end();
}

void SandboxPipeline::Outbound(const Flow& flow) {
  if (flow.name.empty() && !flow.peer.address.is_loopback())
    EmitInfo([&] { return records_.Outbound(flow, processes_.Find(flow.process), unix_offset_); });
}

void SandboxPipeline::Decided(const Flow& flow) {
  metrics_.OnDecided(flow);
  ledger_.OnDecided(flow);
  if (flow.outcome == ConnectOutcome::kEstablished || flow.outcome == ConnectOutcome::kUnknown || flow.peer.address.is_loopback())
    return;
  if (flow.outcome == ConnectOutcome::kDenied) {
    // Netfilter's are told, and counted by the kernel side, when they happen.
    if (flow.denied_by == DenialLayer::kCgroup) {
      metrics_.OnDenied(DenialLayer::kCgroup, flow.transport);
      Deny(DenialOf(flow, flow.decided_ns), 1);
    }
  } else if (flow.transport == Transport::kTcp || flow.outcome != ConnectOutcome::kOther) {
    EmitInfo([&] { return records_.Failed(flow, processes_.Find(flow.process), unix_offset_); });
  }
}

void SandboxPipeline::Deny(const Denial& denial, uint64_t count) {
  if (denial.layer == DenialLayer::kNetfilter && denial.peer)
    allowances_.OnDenied(*denial.peer, denial.time_ns);
  if (denials_.Add(denial, count))
    Emit(records_.Denied(denial, processes_.Find(denial.process), unix_offset_));
}

void SandboxPipeline::Ended(const Flow& flow) {
  if (flow.denied_by == DenialLayer::kNetfilter && flow.denials > flow.denials_told)
    Deny(DenialOf(flow, flow.decided_ns), flow.denials - flow.denials_told);
  metrics_.OnEnded(flow);
  ledger_.OnEnded(flow);
  if (IsDnsStream(flow) && !dns_streams_.contains(flow.cookie))
    Outbound(flow);
  if (flow.reset && !flow.peer.address.is_loopback())
    EmitInfo([&] { return records_.Failed(flow, processes_.Find(flow.process), unix_offset_); });
}

ActorRole SandboxPipeline::RoleOf(const std::optional<RulesetActor>& actor) const {
  if (!actor || !actor->seen)
    return ActorRole::kUnknown;
  if (actor->sandbox != sandbox_.serial)
    return ActorRole::kHost;
  return actor->sidecar ? ActorRole::kSidecar : ActorRole::kApp;
}

const Process* SandboxPipeline::ProcessOf(const std::optional<RulesetActor>& actor) const {
  return actor ? processes_.Find(actor->process) : nullptr;
}

void SandboxPipeline::OnTimedElements(const RulesetTransaction& transaction) {
  std::vector<AllowedElement> told;
  for (const TimedElement& element : transaction.timed) {
    if (!element.added) {
      allowances_.OnElementGone(element.address);
      continue;
    }
    const Allowance allowance = allowances_.OnElement(element.address, element.timeout_ms * kMillisecond, transaction.time_ns);
    if (allowance.after_answer_ns)
      metrics_.OnAllowed(*allowance.after_answer_ns);
    if (allowance.after_denial)
      metrics_.OnConnectBeforeAllow();
    told.push_back({&element, allowance, names_.Find(element.address, transaction.time_ns)});
  }
  if (log_level_ == Severity::kDebug && !told.empty())
    Emit(records_.Allowed(told, transaction, RoleOf(transaction.actor), ProcessOf(transaction.actor), unix_offset_));
}

// A connection whose address is let through no more, while it is open: its next packet may be the last.
void SandboxPipeline::ExpireAllowances(uint64_t now_ns) {
  for (const Address& address : allowances_.Expire(now_ns)) {
    bool in_use = false;
    flows_.ForEach([&](const Flow& flow) { in_use |= flow.peer.address == address && flow.outcome == ConnectOutcome::kEstablished; });
    if (!in_use)
      continue;
    metrics_.OnExpiredInUse();
    if (log_level_ == Severity::kDebug)
      Emit(records_.ExpiredInUse(address, names_.Find(address, now_ns), now_ns, unix_offset_));
  }
}

void SandboxPipeline::OnRules(const RulesetOutcome& outcome) {
  for (const RulesetTransaction& transaction : outcome.transactions) {
    metrics_.OnTransaction(transaction);
    if (!transaction.timed.empty())
      OnTimedElements(transaction);
    if (transaction.committed || transaction.is_retry)
      continue;
    ++rules_.refused;
    Emit(records_.RulesRefused(transaction, RoleOf(transaction.actor), ProcessOf(transaction.actor), unix_offset_));
  }
  for (const RulesetTurn& turn : outcome.turns) {
    const ActorRole role = RoleOf(turn.actor);
    Emit(records_.RulesTurned(turn, role, ProcessOf(turn.actor), unix_offset_));
    rules_.state = turn.rules.ok() ? RulesSummary::State::kKnown : RulesSummary::State::kUnknown;
    if (!turn.rules.ok())
      continue;
    rules_.default_deny = turn.rules->default_deny;
    rules_.rules = turn.rules->rules.size() + turn.rules->rules_beyond;
    rules_.generation = turn.rules->generation;
    rules_.changes += !turn.first;
    rules_.changes_by_app += role == ActorRole::kApp;
  }
}

void SandboxPipeline::OnTick(uint64_t now_ns) {
  ExpireAllowances(now_ns);
  DnsChanges dns;
  lookups_.Expire(now_ns, /*all=*/false, &dns);
  Apply(dns, now_ns);
  FlowChanges flows;
  flows_.Tick(now_ns, /*all=*/false, &flows);
  Apply(flows);
}

uint64_t SandboxPipeline::NextDeadline() const {
  return std::min({lookups_.NextDeadline(), flows_.NextDeadline(), allowances_.NextDeadline()});
}

void SandboxPipeline::CloseWindow(uint64_t now_ns) {
  unix_offset_ = recorded_unix_offset_.value_or(UnixOffset());  // follow steps of the wall clock
  flows_.RefreshUdp();
  flows_.TakeDenials([&](const Flow& flow, uint64_t count) { Deny(DenialOf(flow, now_ns), count); });
  for (const Denials::WindowEntry& entry : denials_.CloseWindow())
    Emit(records_.Denied(entry, now_ns, unix_offset_));
  flows_.ForEach([&](const Flow& flow) { ledger_.OnBytes(flow); });
  for (const Ledger::WindowEntry& entry : ledger_.CloseWindow())
    EmitInfo([&] { return records_.Destination(entry, now_ns, unix_offset_); });
  // What is gone and nobody told of.
  if (counters_.untold(EVENT_EXIT) > 0)
    processes_.ForgetDead([](const ProcessKey& process) { return Lives(process); });

  std::map<std::string, uint64_t> losses = Losses(counters_, delivery_);
  const std::vector<std::pair<std::string, uint64_t>> now_lost(losses.begin(), losses.end());
  for (const auto& [what, told] : loss_told_)
    losses[what] -= told;
  std::erase_if(losses, [](const auto& entry) { return entry.second == 0; });
  if (!losses.empty())
    Emit(records_.Loss({losses.begin(), losses.end()}, now_ns, unix_offset_));
  loss_told_ = now_lost;
}

void SandboxPipeline::Stop(uint64_t now_ns) {
  DnsChanges dns;
  lookups_.Expire(now_ns, /*all=*/true, &dns);
  Apply(dns, now_ns);
  FlowChanges flows;
  flows_.Tick(now_ns, /*all=*/true, &flows);
  Apply(flows);
  CloseWindow(now_ns);
  Emit(records_.Stopped(Totals(), now_ns, unix_offset_));
}

SandboxTotals SandboxPipeline::Totals() const {
  SandboxTotals totals = {.lookups = metrics_.lookups(),
                          .attempts = 0,
                          .execs = counters_.produced[EVENT_EXEC],
                          .exits = counters_.produced[EVENT_EXIT],
                          .denied = metrics_.denied() + counters_.denied[0] + counters_.denied[1],
                          .destinations = ledger_.distinct(),
                          .destinations_estimated = ledger_.distinct_is_estimated(),
                          .ignored_answers = lookups_.ignored_answers(),
                          .malformed_messages = lookups_.malformed_messages(),
                          .escaped_texts = records_.escaped_texts(),
                          .produced = Sum(counters_.produced),
                          .delivered = Sum(delivery_.delivered),
                          .dropped = {}};
  for (const auto& by_network : counters_.attempts)
    totals.attempts += by_network[0] + by_network[1];
  const std::map<std::string, uint64_t> losses = Losses(counters_, delivery_);
  totals.dropped.assign(losses.begin(), losses.end());
  return totals;
}

void SandboxPipeline::AppendMetrics(std::optional<uint64_t> static_rules, const std::optional<ResourceUse>& resources,
                                    MetricSnapshot* out) const {
  SandboxGauges gauges = {.destinations = ledger_.distinct(),
                          .destinations_estimated = ledger_.distinct_is_estimated(),
                          .static_rules = static_rules,
                          .resources = resources};
  if (gauges.resources)
    *gauges.resources += ended_use_;
  metrics_.Append(counters_, delivery_, gauges, records_.identity(), start_unix_ns_, out);
}

}  // namespace sandpiper
