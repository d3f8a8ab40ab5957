// SPDX-License-Identifier: Apache-2.0
// The configuration of all commands, with its defaults. settings.h says how users name its values.
#ifndef SANDPIPER_USERSPACE_CONFIG_CONFIG_H_
#define SANDPIPER_USERSPACE_CONFIG_CONFIG_H_

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "userspace/base/diagnostics.h"
#include "userspace/capture/capture_writer.h"
#include "userspace/export/otel_config.h"
#include "userspace/export/record_limits.h"
#include "userspace/export/spool.h"
#include "userspace/probe/probes.h"
#include "userspace/sandbox/discovery.h"

namespace sandpiper {

struct Config {
  // What to watch. ResolveDiscovery adds what follows from these to `discovery`.
  std::vector<std::string> cgroups;                   // PATH[=ID[:sidecar]]
  std::vector<std::string> devices;                   // [NETNS:]NAME[=ID]
  std::optional<std::vector<SelectionRule>> rules;    // absent: the default rules
  std::optional<std::vector<RuntimeSocket>> sockets;  // absent: the known sockets that exist
  bool all_containers = false;
  DiscoveryOptions discovery;

  ProbeOptions probes;
  std::chrono::milliseconds canary_interval{60'000};  // 0: no self-test
  bool limit_system_calls = true;                     // a seccomp filter for sandpiper itself

  std::chrono::milliseconds dns_timeout{5'000};
  std::chrono::milliseconds window{60'000};  // of the records of destinations
  size_t destinations_max = 10'000;          // entries of each sandbox's ledger
  size_t series_max = 2'000;                 // of each metric
  bool sandbox_in_metrics = true;            // false: metrics are sums over all sandboxes

  Severity log_level = Severity::kInfo;  // of records
  // Regular expressions of the text that records mask.
  std::vector<std::string> redact_arguments = DefaultArgumentPatterns();
  std::vector<std::string> redact_hosts;
  std::vector<Attribute> extra_attributes;
  std::string sandbox_id;  // OPENSANDBOX_EGRESS_SANDBOX_ID: the id of the only sandbox

  OtelConfig otel;
  bool records_on_stdout = true;
  std::chrono::milliseconds flush_timeout{5'000};  // for the exporters, at the end
  // Records that wait for the OTLP endpoint. An empty path: no spool.
  Spool::Options spool{.path = "/var/lib/sandpiper/spool.db"};
  bool spool_write_first = false;  // each request is on disk before it is sent
  CaptureWriter::Options capture;
  std::string api_socket = "/run/sandpiper/sandpiper.sock";  // empty: none
  size_t recent_records = 2'000;                             // kept for clients of the socket
  DiagnosticOptions diagnostics;

  std::map<std::string, std::string> file;  // the configuration file: YAML of each key
  std::vector<std::string> warnings;        // about ignored values of OTEL_* variables
};

// Reads the variables of OpenTelemetry and OpenSandbox; those of settings are read by
// ReadSettingVariables. Adds service.version, host.name and a stable service.instance.id to the
// resource.
Config ReadEnvironment(const GetEnv& get_env);

// Fills `config->discovery` with rules and sockets, if rules are configured or nothing else is.
// Patterns of `config->cgroups` become rules. `mount` is the mount point of cgroup v2.
absl::Status ResolveDiscovery(const std::string& mount, Config* config);

// Keys with different values in two configuration files.
struct ConfigChange {
  std::vector<std::string> applied;  // a running collector takes these over
  std::vector<std::string> after_restart;
};
ConfigChange CompareFiles(const Config& before, const Config& after);

// Reads the environment of this process. Empty if the variable is not set.
std::string GetProcessEnv(const char* name);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CONFIG_CONFIG_H_
