// SPDX-License-Identifier: Apache-2.0
#include "userspace/config/config.h"

#include <unistd.h>

#include <cctype>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "userspace/base/status.h"
#include "userspace/base/text.h"
#include "userspace/base/version.h"
#include "userspace/sandbox/cgroup_arguments.h"

namespace sandpiper {
namespace {

std::string HostName() {
  char name[256] = {};
  return gethostname(name, sizeof(name) - 1) == 0 ? Escape(name) : "";
}

// One writer of series for each host: unique there, and the same after a restart.
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

absl::StatusOr<uint64_t> ParseBytes(const std::string& text) {
  uint64_t bytes = 0;
  size_t digits = 0;
  while (digits < text.size() && digits < 12 && isdigit(static_cast<unsigned char>(text[digits])))
    bytes = bytes * 10 + static_cast<uint64_t>(text[digits++] - '0');
  std::string unit = text.substr(digits);
  for (const char* ending : {"iB", "B", "b"}) {
    if (unit.ends_with(ending)) {
      unit.resize(unit.size() - strlen(ending));
      break;
    }
  }
  const std::map<std::string, uint64_t> units = {{"", 1},        {"K", 1 << 10}, {"k", 1 << 10},
                                                 {"M", 1 << 20}, {"m", 1 << 20}, {"G", 1 << 30}};
  const auto factor = units.find(unit);
  if (digits == 0 || factor == units.end())
    return absl::InvalidArgumentError(absl::StrCat(Escape(text), " is no size in bytes"));
  return bytes * factor->second;
}

absl::StatusOr<uint32_t> ParseRingSize(const std::string& text) {
  ASSIGN_OR_RETURN(const uint64_t bytes, ParseBytes(text));
  if (bytes < 4096 || bytes > (1u << 30) || (bytes & (bytes - 1)) != 0)
    return absl::InvalidArgumentError(
        absl::StrCat(Escape(text), " is not a power of two between 4K and 1G"));
  return static_cast<uint32_t>(bytes);
}

absl::Status ResolveDiscovery(const std::string& mount, Config* config) {
  DiscoveryOptions& discovery = config->discovery;
  std::vector<std::string> named;
  for (const std::string& cgroup : config->cgroups) {
    std::optional<SelectionRule> rule = PatternRule(cgroup, mount);
    if (!rule) {
      named.push_back(cgroup);
      continue;
    }
    discovery.rules.push_back(*std::move(rule));
  }
  const bool nothing_named = config->cgroups.empty() && config->devices.empty();
  config->cgroups = std::move(named);
  const bool by_rules = config->rules || config->all_containers || nothing_named;
  if (!by_rules)
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
  static const std::set<std::string> kLive = {"redact_arguments", "redact_hosts", "log_level",
                                              "window_s", "flush_timeout_ms"};
  std::map<std::string, std::string> all = before.file;
  all.insert(after.file.begin(), after.file.end());
  const auto value = [](const Config& config, const std::string& key) {
    const auto found = config.file.find(key);
    return found == config.file.end() ? std::string() : found->second;
  };
  ConfigChange out;
  for (const auto& [key, unused] : all) {
    if (value(before, key) != value(after, key))
      (kLive.contains(key) ? out.taken : out.after_restart).push_back(key);
  }
  return out;
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
