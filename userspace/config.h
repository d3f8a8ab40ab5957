// Everything that can be configured, with its default. Flags beat environment, environment beats default.
#ifndef SANDPIPER_USERSPACE_CONFIG_H_
#define SANDPIPER_USERSPACE_CONFIG_H_

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "userspace/export/otel_config.h"
#include "userspace/probe/probes.h"

namespace sandpiper {

struct Config {
  ProbeOptions probes;
  std::chrono::milliseconds dns_timeout{5'000};
  std::chrono::milliseconds window{60'000};        // of the destination ledger
  std::chrono::milliseconds flush_timeout{5'000};  // at the end, for what exporters still hold
  OtelConfig otel;
  std::vector<Attribute> extra_attributes;
  Severity log_level = Severity::kInfo;
  std::string sandbox_id;  // OPENSANDBOX_EGRESS_SANDBOX_ID, where there is one sandbox only

  std::vector<std::string> warnings;  // about OTEL_* values that were not understood
};

// What the environment says, before flags. service.version, host.name and a stable service.instance.id are added to the resource.
Config ReadEnvironment(const GetEnv& get_env);

// The real environment.
std::string GetProcessEnv(const char* name);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CONFIG_H_
