// SPDX-License-Identifier: Apache-2.0
#include "userspace/session/rule_monitor.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "absl/status/status.h"
#include "tests/unit/session_fixture.h"

namespace sandpiper {
namespace {

using testing::Get;
using testing::kOther;
using testing::kWeb;
using testing::Total;

constexpr uint64_t kSandbox = 7;
constexpr ProcessKey kProcess = {.pid = 42, .start_ns = 1};

class RuleMonitorTest : public testing::SessionPartTest {
 protected:
  static RulesetActor App() {
    return {.process = kProcess, .comm = "nft", .seen_by_bpf = true, .sandbox = kSandbox};
  }
  static RulesetActor Sidecar() {
    RulesetActor actor = App();
    actor.sidecar = true;
    return actor;
  }
  static RulesetActor Host() {
    RulesetActor actor = App();
    actor.sandbox = 0;
    return actor;
  }
  void Update(std::optional<RulesetActor> actor, bool is_first = false, uint32_t generation = 2) {
    Ruleset rules = {.generation = generation, .present = true, .default_deny = true};
    rules.rules = {{"allow", "192.0.2.9"}, {"deny", "any"}};
    rules.rules_omitted = 3;
    rules_.OnRules(
        {.transactions = {},
         .updates = {{.time_ns = now_, .is_first = is_first, .rules = rules, .actor = actor}}});
  }
  RulesetTransaction Transaction(std::optional<RulesetActor> actor = std::nullopt) const {
    return {.time_ns = now_, .operation = NftOperation::kDynamic, .actor = actor};
  }
  void AddElement(const Address& address, uint64_t timeout_ms = 60'000) {
    RulesetTransaction transaction = Transaction(Sidecar());
    transaction.timed = {
        {.table = "t", .set = "allowed", .address = address, .timeout_ms = timeout_ms}};
    rules_.OnRules({.transactions = {transaction}, .updates = {}});
  }
  void RemoveElement(const Address& address) {
    RulesetTransaction transaction = Transaction();
    transaction.timed = {{.table = "t", .set = "allowed", .address = address, .added = false}};
    rules_.OnRules({.transactions = {transaction}, .updates = {}});
  }
  void Establish(const Endpoint& peer) {
    flows_.OnConnect({.cookie = 1, .peer = peer, .started_ns = now_});
    flows_.OnResult({.cookie = 1, .established = true}, now_);
  }

  FlowTable flows_{10, [](const Flow&) { return FlowTable::UdpCounts{}; }};
  RuleMonitor rules_{kSandbox, 100, &context_};
};

TEST_F(RuleMonitorTest, NoRulesetYetIsStateNone) {
  EXPECT_EQ(rules_.summary().state, RulesSummary::State::kNone);
}

TEST_F(RuleMonitorTest, SummaryHasTheLastRuleset) {
  Update(Sidecar(), /*is_first=*/true, 2);
  Update(Sidecar(), /*is_first=*/false, 3);
  const RulesSummary& summary = rules_.summary();
  EXPECT_EQ(summary.state, RulesSummary::State::kKnown);
  EXPECT_TRUE(summary.default_deny);
  EXPECT_EQ(summary.rules, 5u);
  EXPECT_EQ(summary.generation, 3u);
  EXPECT_EQ(summary.changes, 1u);
}

TEST_F(RuleMonitorTest, FirstRulesetIsLoadedAndLaterOnesAreUpdates) {
  Update(std::nullopt, /*is_first=*/true);
  Update(std::nullopt);
  EXPECT_EQ(records_.Events(), (std::vector<std::string>{"egress.loaded", "egress.updated"}));
}

TEST_F(RuleMonitorTest, ChangeByTheAppWarnsAndIsCounted) {
  Update(App());
  EXPECT_EQ(Get(records_.all()[0], "sandbox.role"), "app");
  EXPECT_EQ(records_.all()[0].severity, Severity::kWarn);
  EXPECT_EQ(rules_.summary().changes_by_app, 1u);
}

TEST_F(RuleMonitorTest, ChangeByASidecarIsInfoAndNotCountedForTheApp) {
  Update(Sidecar());
  EXPECT_EQ(Get(records_.all()[0], "sandbox.role"), "sidecar");
  EXPECT_EQ(records_.all()[0].severity, Severity::kInfo);
  EXPECT_EQ(rules_.summary().changes_by_app, 0u);
}

TEST_F(RuleMonitorTest, ChangeFromOutsideTheSandboxIsByTheHost) {
  Update(Host());
  EXPECT_EQ(Get(records_.all()[0], "actor"), "host");
  EXPECT_EQ(Get(records_.all()[0], "sandbox.role"), "");
}

TEST_F(RuleMonitorTest, ChangeByAnotherSandboxNamesItAndWarns) {
  RulesetActor actor = App();
  actor.sandbox = kSandbox + 1;
  actor.sandbox_id = "sb-8";
  Update(actor);
  EXPECT_EQ(Get(records_.all()[0], "actor"), "sandbox");
  EXPECT_EQ(Get(records_.all()[0], "actor.sandbox_id"), "sb-8");
  EXPECT_EQ(Get(records_.all()[0], "sandbox.role"), "");
  EXPECT_EQ(records_.all()[0].severity, Severity::kWarn);
  EXPECT_EQ(rules_.summary().changes_by_app, 0u);
}

TEST_F(RuleMonitorTest, RulesOfIptablesLegacyAreReportedAsUnreadable) {
  Ruleset rules;
  rules.xtables = {{.name = "ip filter", .rules = 2}};
  rules_.OnRules(
      {.transactions = {}, .updates = {{.time_ns = now_, .is_first = true, .rules = rules}}});
  EXPECT_EQ(Get(records_.all()[0], "rules.unreadable"), "xtables");
  EXPECT_EQ(rules_.summary().state, RulesSummary::State::kKnown);
  EXPECT_TRUE(rules_.summary().has_xtables);
}

TEST_F(RuleMonitorTest, ChangeThatOnlyNetlinkReportedHasNoRole) {
  RulesetActor actor = App();
  actor.seen_by_bpf = false;
  Update(actor);
  EXPECT_EQ(Get(records_.all()[0], "actor"), "");
  EXPECT_EQ(Get(records_.all()[0], "sandbox.role"), "");
  EXPECT_EQ(Get(records_.all()[0], "process.executable.name"), "nft");
}

TEST_F(RuleMonitorTest, ActorHasThePathOfItsProcess) {
  context_.processes.OnExec({.process = kProcess, .comm = "nft", .path = "/usr/sbin/nft"}, now_);
  Update(App());
  EXPECT_EQ(Get(records_.all()[0], "process.executable.path"), "/usr/sbin/nft");
}

TEST_F(RuleMonitorTest, UnreadableRulesetKeepsTheSummaryOfTheLastOne) {
  Update(Sidecar(), /*is_first=*/true);
  rules_.OnRules({.transactions = {},
                  .updates = {{.time_ns = now_,
                               .is_first = false,
                               .rules = absl::UnavailableError("cut"),
                               .actor = App()}}});
  EXPECT_EQ(rules_.summary().state, RulesSummary::State::kUnknown);
  EXPECT_EQ(rules_.summary().rules, 5u);
  EXPECT_EQ(rules_.summary().changes, 0u);
  EXPECT_EQ(rules_.summary().changes_by_app, 0u);
  EXPECT_EQ(records_.all().back().severity, Severity::kWarn);
}

TEST_F(RuleMonitorTest, RejectedTransactionIsReportedAndCounted) {
  RulesetTransaction transaction = Transaction(App());
  transaction.committed = false;
  transaction.error = EPERM;
  rules_.OnRules({.transactions = {transaction}, .updates = {}});
  ASSERT_EQ(records_.Events(), std::vector<std::string>{"egress.update_failed"});
  EXPECT_EQ(Get(records_.all()[0], "error"), "EPERM");
  EXPECT_EQ(Get(records_.all()[0], "sandbox.role"), "app");
  EXPECT_EQ(rules_.summary().refused, 1u);
}

TEST_F(RuleMonitorTest, CommitAndRetryCauseNoFailureRecord) {
  RulesetTransaction retry = Transaction(App());
  retry.committed = false;
  retry.is_retry = true;
  rules_.OnRules({.transactions = {Transaction(App()), retry}, .updates = {}});
  EXPECT_TRUE(records_.all().empty());
  EXPECT_EQ(rules_.summary().refused, 0u);
  EXPECT_EQ(testing::ValuesBy(Metrics(), MetricNamed("sandbox.nftables.transactions"), "outcome"),
            (std::map<std::string, int64_t>{{"aborted", 1}, {"committed", 1}}));
}

TEST_F(RuleMonitorTest, ElementAfterAnswerIsMeasured) {
  context_.names.Learn(kWeb.address, "a.test", 60, now_);
  rules_.OnAnswer(kWeb.address, now_);
  now_ += 20 * kMillisecond;
  AddElement(kWeb.address);
  EXPECT_EQ(Total(Metrics(), MetricNamed("sandbox.dns.allow.duration")), 1);
  ASSERT_EQ(records_.Events(), std::vector<std::string>{"egress.updated"});
  EXPECT_EQ(records_.all()[0].severity, Severity::kDebug);
  EXPECT_EQ(Get(records_.all()[0], "target.host"), "a.test");
}

TEST_F(RuleMonitorTest, ElementBeforeItsAnswerIsMeasuredOnce) {
  AddElement(kWeb.address);
  EXPECT_EQ(Total(Metrics(), MetricNamed("sandbox.dns.allow.duration")), 0);
  rules_.OnAnswer(kWeb.address, now_ + kMillisecond);
  rules_.OnAnswer(kWeb.address, now_ + 2 * kMillisecond);
  EXPECT_EQ(Total(Metrics(), MetricNamed("sandbox.dns.allow.duration")), 1);
}

TEST_F(RuleMonitorTest, ElementAfterADenialByNetfilterIsCounted) {
  rules_.OnDenial({.layer = DenialLayer::kNetfilter, .peer = kWeb.address, .time_ns = now_});
  AddElement(kWeb.address);
  EXPECT_EQ(Total(Metrics(), MetricNamed("sandbox.connect.before_allow")), 1);
  EXPECT_EQ(Get(records_.all()[0], "egress.denied_before"), "true");
}

TEST_F(RuleMonitorTest, ElementAfterADenialByAnotherLayerIsNotCounted) {
  rules_.OnDenial({.layer = DenialLayer::kDns, .peer = kWeb.address, .time_ns = now_});
  rules_.OnDenial({.layer = DenialLayer::kNetfilter, .peer = std::nullopt, .time_ns = now_});
  AddElement(kWeb.address);
  EXPECT_EQ(Total(Metrics(), MetricNamed("sandbox.connect.before_allow")), 0);
}

TEST_F(RuleMonitorTest, AddedElementsAreReportedAtDebugOnly) {
  context_.emitter.set_log_level(Severity::kInfo);
  rules_.OnAnswer(kWeb.address, now_);
  AddElement(kWeb.address);
  EXPECT_TRUE(records_.all().empty());
  EXPECT_EQ(Total(Metrics(), MetricNamed("sandbox.dns.allow.duration")), 1);
}

TEST_F(RuleMonitorTest, RemovedElementsCauseNoRecord) {
  RemoveElement(kWeb.address);
  EXPECT_TRUE(records_.all().empty());
}

TEST_F(RuleMonitorTest, ElementThatExpiresUnderAConnectionIsReported) {
  Establish(kWeb);
  AddElement(kWeb.address, 1'000);
  EXPECT_EQ(rules_.NextDeadline(), now_ + kSecond);
  rules_.ExpireDue(now_ + kSecond - 1, flows_);
  EXPECT_EQ(Total(Metrics(), MetricNamed("sandbox.nftables.expired_in_use")), 0);
  rules_.ExpireDue(now_ + kSecond, flows_);
  rules_.ExpireDue(now_ + 2 * kSecond, flows_);
  EXPECT_EQ(Total(Metrics(), MetricNamed("sandbox.nftables.expired_in_use")), 1);
  ASSERT_EQ(records_.Of("egress.expired").size(), 1u);
  EXPECT_EQ(Get(records_.Of("egress.expired")[0], "peer"), "192.0.2.9");
}

TEST_F(RuleMonitorTest, ElementThatExpiresUnusedIsNotReported) {
  Establish(kOther);
  AddElement(kWeb.address, 1'000);
  rules_.ExpireDue(now_ + kSecond, flows_);
  EXPECT_EQ(Total(Metrics(), MetricNamed("sandbox.nftables.expired_in_use")), 0);
}

TEST_F(RuleMonitorTest, ElementThatExpiresUnderAnOpenAttemptIsNotReported) {
  flows_.OnConnect({.cookie = 1, .peer = kWeb, .started_ns = now_});
  AddElement(kWeb.address, 1'000);
  rules_.ExpireDue(now_ + kSecond, flows_);
  EXPECT_EQ(Total(Metrics(), MetricNamed("sandbox.nftables.expired_in_use")), 0);
}

TEST_F(RuleMonitorTest, RemovedElementDoesNotExpire) {
  Establish(kWeb);
  AddElement(kWeb.address, 1'000);
  RemoveElement(kWeb.address);
  rules_.ExpireDue(now_ + kSecond, flows_);
  EXPECT_EQ(Total(Metrics(), MetricNamed("sandbox.nftables.expired_in_use")), 0);
}

}  // namespace
}  // namespace sandpiper
