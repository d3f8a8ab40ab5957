// SPDX-License-Identifier: Apache-2.0
// The catalogue of events against the records that are made, their documents, and masking.
#include "userspace/aggregate/event_catalog.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <string_view>

#include "userspace/aggregate/records.h"
#include "userspace/export/catalog_markdown.h"
#include "userspace/export/event_schema.h"
#include "userspace/export/ndjson.h"
#include "userspace/export/record_limits.h"

namespace sandpiper {
namespace {

constexpr char kSecret[] = "plan.corp.test";

static_assert(!FindAttribute("url.full"));
static_assert(TypeOf<const std::string&>() == AttributeType::kText);
static_assert(TypeOf<SharedText>() == AttributeType::kText);
static_assert(TypeOf<int64_t>() == AttributeType::kInteger);
static_assert(TypeOf<double>() == AttributeType::kReal);
static_assert(TypeOf<bool>() == AttributeType::kFlag);
static_assert(TypeOf<std::vector<std::string>>() == AttributeType::kTextList);
static_assert(TypeOf<std::vector<Rule>>() == AttributeType::kRuleList);

AttributeType TypeOfValue(const AttributeValue& value) {
  return std::visit([](const auto& held) { return TypeOf<decltype(held)>(); }, value);
}

// A value of the type with kSecret in it, where it can hold text.
AttributeValue SecretValue(AttributeType type) {
  switch (type) {
    case AttributeType::kText:
      return SharedText(kSecret);
    case AttributeType::kTextList:
      return std::vector<std::string>{"curl", std::string("https://") + kSecret};
    case AttributeType::kRuleList:
      return std::vector<Rule>{{"allow", kSecret}};
    case AttributeType::kInteger:
      return int64_t{1};
    case AttributeType::kReal:
      return 1.5;
    case AttributeType::kFlag:
      return true;
  }
  return false;
}

// At least one record from each function of RecordMaker, with all optional values present.
std::vector<LogRecord> AllRecords() {
  RecordMaker maker({{"sandbox_id", "a"}, {"team", "core"}});
  const Origin part = maker.AddOrigin({{"sandbox.role", "app"},
                                       {"container.id", "c"},
                                       {"container.name", "c"},
                                       {"container.image.name", "c"},
                                       {"k8s.container.name", "c"},
                                       {"k8s.pod.name", "c"},
                                       {"k8s.pod.uid", "c"},
                                       {"k8s.namespace.name", "c"}});
  const Address resolver = Address::FromIpv4({1, 1, 1, 1});
  const Address other = Address::FromIpv4({1, 0, 0, 1});
  const Process process = {.origin = part,
                           .key = {.pid = 2, .start_ns = 1},
                           .parent = {.pid = 1, .start_ns = 1},
                           .comm = "sh",
                           .path = "/bin/sh",
                           .working_directory = "/",
                           .script = "/a.sh",
                           .args = {"sh", "a.sh"},
                           .args_truncated = true,
                           .exec_ns = 1,
                           .exited_ns = 2,
                           .oom_killed = true};
  Process killed = process;
  killed.status = 9;
  Lookup lookup = {.origin = kByNamespace,
                   .name = "a.test",
                   .type = 1,
                   .process = process.key,
                   .outcome = DnsOutcome::kServFail,
                   .rcode = 2,
                   .addresses = {{.address = resolver, .ttl_seconds = 1}}};
  Lookup strange = lookup;
  strange.dns_class = 3;
  strange.question_count = 2;
  strange.trailing_bytes = 7;
  strange.hints = {resolver};
  strange.upstream = {.server = {resolver, 53}, .rcode = 2, .duration_ns = 1};
  Lookup update = lookup;
  update.purpose = DnsPurpose::kRequest;
  update.opcode = kDnsOpcodeUpdate;
  Lookup announcement = lookup;
  announcement.purpose = DnsPurpose::kAnnouncement;
  Lookup malformed = lookup;
  malformed.name = {};
  Flow flow = {.origin = kByProcess,
               .process = process.key,
               .peer = {.address = resolver, .port = 853},
               .outcome = ConnectOutcome::kRefused,
               .error = ECONNREFUSED,
               .denied_by = DenialLayer::kNetfilter};
  Flow named = flow;
  named.name = "a.test";
  const DestinationKey destination = {
      .host = {}, .address = resolver, .port = 853, .transport = Transport::kTcp};
  const RulesetActor actor = {.process = process.key, .comm = "nft"};
  Ruleset rules;
  rules.rules = {{"allow", "any"}};
  rules.tables = {{.table = "inet fence", .dormant = true}};
  rules.xtables = {{.name = "ip filter", .rules = 1}};
  RulesetUpdate loaded = {.is_first = true, .rules = rules, .transactions = 2, .actor = actor};
  loaded.change.added = rules.rules;
  loaded.change.removed = rules.rules;
  RulesetUpdate updated = loaded;
  updated.is_first = false;
  RulesetUpdate many = updated;
  many.change.added.assign(5000, {"allow", "10.0.0.0/8"});
  many.change.removed = many.change.added;
  const RulesetUpdate unknown = {.rules = absl::UnavailableError("changing"), .actor = actor};
  const RulesetTransaction transaction = {.actor = actor, .error = ENOENT};
  const TimedElement element = {.set = "s", .address = resolver, .timeout_ms = 1000};
  const AllowedElement allowed = {.element = &element,
                                  .allowance = {.after_answer_ns = 1, .after_denial = true},
                                  .host = "a.test"};
  const OpenSandboxPolicy policy = {.source = "file", .rules = rules};
  const OpenSandboxPolicy bad_policy = {.source = "file", .rules = absl::UnavailableError("no")};
  const std::vector<std::pair<std::string, uint64_t>> dropped = {{"ring_full.exec", 3}};
  return {
      maker.Lookup(lookup, &process, 0),
      maker.Lookup(strange, &process, 0),
      maker.Lookup(update, &process, 0),
      maker.Lookup(announcement, &process, 0),
      maker.Lookup(malformed, nullptr, 0),
      maker.Outbound(flow, &process, 0),
      maker.Outbound(named, &process, 0),
      maker.Failed(flow, &process, 0),
      maker.Failed(named, &process, 0),
      maker.Denied(DenialOf(flow, 1), &process, 0),
      maker.Denied(DenialOf(named, 1), &process, 0),
      maker.Denied(DenialOf(lookup, DenialLayer::kDns), &process, 0),
      maker.Denied(Denials::WindowEntry{.destination = destination,
                                        .layer = DenialLayer::kDns,
                                        .transport = Transport::kUdp,
                                        .count = 2},
                   1, 0),
      maker.Denied(Denials::WindowEntry{.destination = std::nullopt,
                                        .layer = DenialLayer::kDns,
                                        .transport = Transport::kUdp,
                                        .count = 2},
                   1, 0),
      maker.Destination({.key = destination, .stats = {}, .first_contact = true}, 1, 0),
      maker.Destination({.key = KeyOf(named),
                         .stats = {},
                         .first_contact = false,
                         .addresses = {resolver, other}},
                        1, 0),
      maker.Destination({.key = std::nullopt, .stats = {}, .first_contact = false}, 1, 0),
      maker.Exec(process, {"/bin/init"}, 0),
      maker.Exit(process, 0),
      maker.Exit(killed, 0),
      maker.RulesUpdated(loaded, ActorRole::kApp, &process, 0),
      maker.RulesUpdated(updated, ActorRole::kHost, &process, 0),
      maker.RulesUpdated(many, ActorRole::kSandbox, &process, 0),
      maker.RulesUpdated(unknown, ActorRole::kHost, nullptr, 0),
      maker.PolicyLoaded(policy, process, 1, 0),
      maker.PolicyLoaded(bad_policy, process, 1, 0),
      maker.Allowed({allowed}, transaction, ActorRole::kSidecar, &process, 0),
      maker.ExpiredInUse(resolver, "a.test", 1, 0),
      maker.UpdateFailed(transaction, ActorRole::kHost, &process, 0),
      maker.Started(1, 0),
      maker.Stopped({.destinations_estimated = true, .dropped = dropped}, 1, 0),
      maker.Loss(dropped, 1, 0),
  };
}

const EventRow* FindEvent(std::string_view name) {
  const auto* const found = std::find_if(std::begin(kEvents), std::end(kEvents),
                                         [&](const EventRow& row) { return name == row.name; });
  return found == std::end(kEvents) ? nullptr : found;
}

// The row of a key, be it of a family.
const AttributeRow* RowOf(std::string_view key) {
  if (const AttributeRow* const row = FindAttribute(key))
    return row;
  for (const AttributeRow& row : kEventAttributes) {
    std::string_view prefix = row.name;
    if (IsFamily(prefix) && key.starts_with(prefix.substr(0, prefix.size() - 1)))
      return &row;
  }
  return nullptr;
}

TEST(EventCatalog, RowsAreUniqueAndDescribed) {
  std::set<std::string> names;
  for (const AttributeRow& row : kEventAttributes) {
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    EXPECT_NE(row.meaning[0], '\0') << row.name;
  }
  std::set<std::string> events;
  for (const EventRow& row : kEvents) {
    EXPECT_TRUE(events.insert(row.name).second) << row.name;
    EXPECT_NE(row.one_record_for[0], '\0') << row.name;
    std::set<std::string_view> attributes;
    for (const char* const name : row.attributes) {
      if (!name)
        continue;
      EXPECT_TRUE(attributes.insert(name).second) << row.name << " lists twice: " << name;
    }
  }
}

TEST(EventCatalog, RecordsHaveOnlyAttributesOfTheirEvent) {
  for (const LogRecord& record : AllRecords()) {
    SCOPED_TRACE(ToJson(record));
    const EventRow* const event = FindEvent(record.event.view());
    ASSERT_TRUE(event);
    EXPECT_NE(std::find(event->levels.begin(), event->levels.end(), record.severity),
              event->levels.end());
    const std::vector<const AttributeRow*> expected = AttributesOf(*event);
    for (const RecordAttribute& attribute : record.attributes) {
      if (attribute.key == "team")
        continue;  // the user's
      const AttributeRow* const row = RowOf(attribute.key.view());
      EXPECT_NE(std::find(expected.begin(), expected.end(), row), expected.end())
          << attribute.key.view();
      if (row) {
        EXPECT_EQ(row->type, TypeOfValue(attribute.value)) << row->name;
        EXPECT_EQ(row->sensitivity, attribute.sensitivity) << row->name;
      }
    }
  }
}

TEST(EventCatalog, EveryAttributeOfAnEventIsInARecordOfIt) {
  std::map<std::string, std::set<const AttributeRow*>> made;
  for (const LogRecord& record : AllRecords()) {
    for (const RecordAttribute& attribute : record.attributes)
      made[std::string(record.event.view())].insert(RowOf(attribute.key.view()));
  }
  std::set<const AttributeRow*> unused;
  for (const AttributeRow& row : kEventAttributes)
    unused.insert(&row);
  for (const EventRow& event : kEvents) {
    ASSERT_TRUE(made.contains(event.name)) << event.name;
    for (const AttributeRow* row : AttributesOf(event))
      unused.erase(row);
    for (const char* const name : event.attributes) {
      if (!name || std::string_view(event.name) == "egress.loaded")
        continue;
      EXPECT_TRUE(made[event.name].contains(FindAttribute(name))) << event.name << " " << name;
    }
  }
  for (const AttributeRow* row : unused)
    ADD_FAILURE() << row->name << " is in the catalogue, but no event has it";
}

TEST(EventCatalog, DocumentsAreUpToDate) {
  const auto read = [](const char* path) {
    std::ifstream file(path);
    return std::string{std::istreambuf_iterator<char>(file), {}};
  };
  const char* const hint = "run: bazel run //userspace/export:write_catalog -- \"$PWD/docs\"";
  const std::string page = read("docs/events.md");
  ASSERT_FALSE(page.empty());
  EXPECT_EQ(page, WithEventTables(page)) << hint;
  EXPECT_EQ(read("docs/events.schema.json"), EventSchema()) << hint;
}

TEST(EventCatalog, EverySensitiveAttributeIsMasked) {
  const auto limits = RecordLimits::Make({.argument_patterns = {}, .host_patterns = {"plan"}});
  ASSERT_TRUE(limits.ok());
  for (const AttributeRow& row : kEventAttributes) {
    LogRecord record = {.event = "e", .body = std::string("event ") + kSecret, .attributes = {}};
    record.attributes.emplace_back(Attribute(SharedText(std::string(row.name)), false));
    record.attributes[0].value = SecretValue(row.type);
    limits->Apply(&record);
    const bool is_in_clear =
        ToJson({.body = "", .attributes = record.attributes}).find("plan") != std::string::npos;
    const bool holds_text = row.type == AttributeType::kText ||
                            row.type == AttributeType::kTextList ||
                            row.type == AttributeType::kRuleList;
    EXPECT_EQ(is_in_clear, holds_text && row.sensitivity == Sensitivity::kNone) << row.name;
    const bool is_in_body = record.body.find("plan") != std::string::npos;
    EXPECT_EQ(is_in_body, row.type != AttributeType::kText || row.sensitivity == Sensitivity::kNone)
        << row.name;
  }
}

TEST(EventCatalog, ArgumentPatternsMaskOnlyArguments) {
  const auto limits = RecordLimits::Make({.argument_patterns = {"plan"}, .host_patterns = {}});
  ASSERT_TRUE(limits.ok());
  LogRecord record = {.event = "e", .body = "", .attributes = {}};
  record.Add("target.host", SharedText(kSecret));
  record.Add("process.command_args", std::vector<std::string>{kSecret});
  limits->Apply(&record);
  EXPECT_EQ(std::get<SharedText>(record.attributes[0].value), kSecret);
  EXPECT_EQ(std::get<std::vector<std::string>>(record.attributes[1].value)[0], "*****.corp.test");
}

TEST(EventCatalog, UsersAttributeWithSensitiveKeyIsMasked) {
  RecordMaker maker({{"target.host", kSecret}, {"team", "plan"}});
  LogRecord record = maker.Started(1, 0);
  const auto limits = RecordLimits::Make({.argument_patterns = {}, .host_patterns = {"plan"}});
  ASSERT_TRUE(limits.ok());
  limits->Apply(&record);
  EXPECT_EQ(std::get<SharedText>(record.attributes[1].value), "*****.corp.test");
  EXPECT_EQ(std::get<SharedText>(record.attributes[2].value), "plan") << "not in the catalogue";
}

}  // namespace
}  // namespace sandpiper
