#include "userspace/config.h"

#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "userspace/base/text.h"
#include "userspace/base/version.h"

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
    resource->push_back({key, value});
}

}  // namespace

std::string GetProcessEnv(const char* name) {
  const char* value = getenv(name);
  return value ? value : "";
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
