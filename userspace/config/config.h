// SPDX-License-Identifier: Apache-2.0
// Everything that can be configured, with its default. Flags beat environment, environment beats
// default.
#ifndef SANDPIPER_USERSPACE_CONFIG_CONFIG_H_
#define SANDPIPER_USERSPACE_CONFIG_CONFIG_H_

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "userspace/capture/capture.h"
#include "userspace/export/otel_config.h"
#include "userspace/export/record_limits.h"
#include "userspace/export/spool.h"
#include "userspace/probe/probes.h"
#include "userspace/sandbox/discovery.h"

namespace sandpiper {

struct Config {
  ProbeOptions probes;
  std::chrono::milliseconds dns_timeout{5'000};
  std::chrono::milliseconds window{60'000};           // of the destination ledger
  size_t destinations_max = 10'000;                   // kept apart in each sandbox's ledger
  size_t series_max = 2'000;                          // of each metric
  bool sandbox_in_metrics = true;                     // off: sums over all sandboxes
  std::chrono::milliseconds canary_interval{60'000};  // 0: no canary
  std::chrono::milliseconds flush_timeout{5'000};     // at the end, for what exporters still hold
  OtelConfig otel;
  CaptureWriter::Options capture;
  Spool::Options spool{
      .path = "/var/lib/sandpiper/spool.db"};  // of log records for OTLP; an empty path: none
  bool spool_write_first = false;              // each request is on disk before it is sent
  std::vector<Attribute> extra_attributes;
  // Regular expressions for what no log record may show.
  std::vector<std::string> redact_arguments = DefaultArgumentPatterns();
  std::vector<std::string> redact_hosts;
  Severity log_level = Severity::kInfo;
  // What to watch, as it is configured; ResolveDiscovery makes of it what there is to look for.
  std::vector<std::string> cgroups;  // PATH[=ID[:sidecar]]
  std::vector<std::string> devices;  // [NETNS:]NAME=ID
  std::optional<std::vector<SelectionRule>> rules;
  std::optional<std::vector<RuntimeSocket>> sockets;
  bool all_containers = false;
  bool records_on_stdout = true;
  bool limit_system_calls = true;  // of sandpiper itself, once all is attached
  DiscoveryOptions discovery;
  std::string api_socket =
      "/run/sandpiper/sandpiper.sock";  // of the running collector; empty: none
  size_t recent_records = 2'000;        // kept for who asks at the socket
  std::string sandbox_id;  // OPENSANDBOX_EGRESS_SANDBOX_ID, where there is one sandbox only

  std::map<std::string, std::string> file;  // what the configuration file says, YAML by key
  std::vector<std::string> warnings;        // about OTEL_* values that were not understood
};

// What the environment says, before flags. service.version, host.name and a stable
// service.instance.id are added to the resource.
Config ReadEnvironment(const GetEnv& get_env);

// Discovery by rules, where any are configured, or nothing is named. `mount`: of cgroup v2.
absl::Status ResolveDiscovery(const std::string& mount, Config* config);

// "64K", "8M", "1G", also "8MiB": bytes.
absl::StatusOr<uint64_t> ParseBytes(const std::string& text);
// The same, for what a ring may be: a power of two of at least a page (kernel/bpf/ringbuf.c).
absl::StatusOr<uint32_t> ParseRingSize(const std::string& text);

// Keys of the configuration file that differ: those that a running collector takes over, and those
// that it cannot.
struct ConfigChange {
  std::vector<std::string> taken, after_restart;
};
ConfigChange CompareFiles(const Config& before, const Config& after);

// The real environment.
std::string GetProcessEnv(const char* name);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CONFIG_CONFIG_H_
