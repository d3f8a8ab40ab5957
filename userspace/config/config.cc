// SPDX-License-Identifier: Apache-2.0
#include "userspace/config/config.h"

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <utility>

#include "userspace/base/status.h"
#include "userspace/base/text.h"
#include "userspace/base/version.h"
#include "userspace/config/settings.h"
#include "userspace/sandbox/cgroup_arguments.h"

namespace sandpiper {
namespace {

std::string HostName() {
  char name[256] = {};
  return gethostname(name, sizeof(name) - 1) == 0 ? Escape(name) : "";
}

// Identifies the writer of a time series: unique for each host, and the same after a restart.
std::string InstanceId() {
  std::ifstream file("/etc/machine-id");
  std::string id;
  return std::getline(file, id) && !id.empty() ? Escape(id) : HostName();
}

void AddIfAbsent(std::vector<Attribute>* resource, const char* key, const std::string& value) {
  for (const Attribute& attribute : *resource) {
    if (attribute.key == key)
      return;
  }
  if (!value.empty())
    resource->push_back({SharedText(std::string(key)), value});
}

}  // namespace

std::string GetProcessEnv(const char* name) {
  const char* value = getenv(name);
  return value ? value : "";
}

absl::Status ResolveDiscovery(const std::string& mount, Config* config) {
  DiscoveryOptions& discovery = config->discovery;
  std::vector<std::string> paths;
  for (const std::string& cgroup : config->cgroups) {
    if (std::optional<SelectionRule> rule = PatternRule(cgroup, mount))
      discovery.rules.push_back(*std::move(rule));
    else
      paths.push_back(cgroup);
  }
  const bool watches_by_default = config->cgroups.empty() && config->devices.empty();
  config->cgroups = std::move(paths);
  if (!config->rules && !config->all_containers && !watches_by_default)
    return absl::OkStatus();
  for (SelectionRule& rule : config->rules ? *config->rules : DefaultRules())
    discovery.rules.push_back(std::move(rule));
  if (config->all_containers) {
    ASSIGN_OR_RETURN(SelectionRule all, MakeRule(SelectionRule::By::kContainer, ""));
    discovery.rules.push_back(std::move(all));
  }
  discovery.sockets = config->sockets ? *config->sockets : DefaultRuntimeSockets();
  return absl::OkStatus();
}

ConfigChange CompareFiles(const Config& before, const Config& after) {
  const auto value = [](const Config& config, const std::string& key) {
    const auto found = config.file.find(key);
    return found == config.file.end() ? std::string() : found->second;
  };
  ConfigChange change;
  for (const Setting& setting : Settings()) {
    if (value(before, setting.key) != value(after, setting.key))
      (setting.is_reloadable ? change.applied : change.after_restart).push_back(setting.key);
  }
  return change;
}

Config ReadEnvironment(const GetEnv& get_env) {
  Config config;
  config.otel = ReadOtelConfig(get_env, &config.warnings);
  config.extra_attributes = ParseExtraAttributes(get_env("OPENSANDBOX_EGRESS_METRICS_EXTRA_ATTRS"));
  config.sandbox_id = Escape(get_env("OPENSANDBOX_EGRESS_SANDBOX_ID"));
  std::vector<Attribute>* resource = &config.otel.resource;
  AddIfAbsent(resource, "service.version", kVersion);
  AddIfAbsent(resource, "service.instance.id", InstanceId());
  AddIfAbsent(resource, "host.name", HostName());
  if (!config.sandbox_id.empty())
    AddIfAbsent(resource, "sandbox_id", config.sandbox_id);
  return config;
}

}  // namespace sandpiper
