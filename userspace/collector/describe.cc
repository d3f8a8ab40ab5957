// SPDX-License-Identifier: Apache-2.0
#include "userspace/collector/describe.h"

#include <algorithm>
#include <optional>

#include "userspace/base/clock.h"
#include "userspace/base/text.h"

namespace sandpiper {

std::vector<RecordAttribute> AttributesOf(const Decision& decision) {
  const std::optional<Container>& container = decision.container;
  const CgroupPath& path = decision.path;
  std::vector<RecordAttribute> out;
  const auto add = [&](AttributeKey<AttributeType::kText> key, const std::string& value) {
    if (!value.empty())
      out.emplace_back(key, CleanId(value));
  };
  add("sandbox.role", Name(decision.selected->role));
  add("container.id", path.container_id);
  if (!container) {
    add("k8s.pod.uid", path.pod_uid);
    return out;
  }
  const bool in_pod = !container->pod.uid.empty() || !container->pod.name.empty();
  if (in_pod)
    add("k8s.container.name", container->name);
  else
    add("container.name", container->name);
  add("container.image.name", container->image);
  add("k8s.pod.name", container->pod.name);
  add("k8s.namespace.name", container->pod.name_space);
  add("k8s.pod.uid", container->pod.uid.empty() ? path.pod_uid : container->pod.uid);
  return out;
}

std::string RuntimeOf(const Decision& decision) {
  if (decision.container && !decision.container->runtime.empty())
    return decision.container->runtime;
  if (!decision.path.runtime.empty())
    return decision.path.runtime;
  return decision.path.unit.empty() ? "cgroup" : "systemd";
}

namespace {

void AddDestinations(const Ledger& ledger, size_t most, v1::Sandbox* out) {
  using Entry = std::pair<const DestinationKey, Destination>;
  std::vector<const Entry*> all;
  for (const Entry& entry : ledger.destinations()) {
    if (!entry.second.loopback)
      all.push_back(&entry);
  }
  const auto end = all.begin() + static_cast<ptrdiff_t>(std::min(most, all.size()));
  std::partial_sort(all.begin(), end, all.end(), [](const Entry* a, const Entry* b) {
    const uint64_t attempts_a = a->second.total.attempts;
    const uint64_t attempts_b = b->second.total.attempts;
    return attempts_a != attempts_b ? attempts_a > attempts_b : a->first < b->first;
  });
  for (auto it = all.begin(); it != end; ++it) {
    const DestinationStats& total = (*it)->second.total;
    v1::Destination* const described = out->add_top_destinations();
    described->set_target((*it)->first.ToString());
    described->set_attempts(total.attempts);
    described->set_established(total.established);
    described->set_denied(total.denied);
    described->set_failed(total.failed);
    described->set_sent(total.sent);
    described->set_received(total.received);
  }
}

}  // namespace

v1::ListSandboxesResponse DescribeSandboxes(
    const std::map<uint64_t, std::unique_ptr<SandboxSession>>& sandboxes,
    const MemberTable& members, size_t destinations) {
  v1::ListSandboxesResponse out;
  std::map<uint64_t, v1::Sandbox*> by_serial;
  for (const auto& [serial, sandbox] : sandboxes) {
    v1::Sandbox* described = by_serial[serial] = out.add_sandboxes();
    const SandboxTotals totals = sandbox->Totals();
    described->set_id(sandbox->sandbox().id);
    described->set_runtime(sandbox->sandbox().runtime);
    described->set_started_unix_ns(sandbox->started_ns() + static_cast<uint64_t>(UnixOffset()));
    described->set_lookups(totals.lookups);
    described->set_attempts(totals.attempts);
    described->set_denied(totals.denied);
    described->set_execs(totals.execs);
    described->set_destinations(totals.destinations);
    described->set_produced(totals.produced);
    uint64_t dropped = 0;
    for (const auto& [what, count] : totals.dropped)
      dropped += count;
    described->set_dropped(dropped);
    if (destinations > 0)
      AddDestinations(sandbox->ledger(), destinations, described);
  }
  for (const auto& [serial, member] : members.all()) {
    const auto sandbox = by_serial.find(member.sandbox);
    if (sandbox == by_serial.end())
      continue;  // the test process of the canary
    v1::Member* described = sandbox->second->add_members();
    described->set_cgroup(Escape(member.path));
    described->set_role(Name(member.role));
    described->set_container_id(Escape(member.container_id));
    described->set_device(Escape(member.device));
  }
  return out;
}

}  // namespace sandpiper
