// SPDX-License-Identifier: Apache-2.0
#include "userspace/config/settings.h"

#include <algorithm>
#include <chrono>

#include "absl/strings/ascii.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "userspace/base/status.h"
#include "userspace/config/config_file.h"
#include "userspace/export/redaction.h"

namespace sandpiper {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

using Commands = std::vector<std::string_view>;
const Commands kWithProbes = {"exec", "run", "doctor", "validate", "replay"};
const Commands kExecAndRun = {"exec", "run", "validate"};
const Commands kRun = {"run", "validate"};
const Commands kWithSocket = {"run", "validate", "observe", "top", "status"};

constexpr int64_t kDayMs = 86'400'000;
constexpr int64_t kHourMs = 3'600'000;
constexpr int64_t kYearSeconds = 31'536'000;
// cfg_dns_ports in bpf/socket.bpf.h has this many entries.
constexpr size_t kDnsPortsMax = 4;

absl::Status CheckPattern(const std::string& text) { return Redaction::Make({text}).status(); }

// "process:tp_btf" has the probe process and the mechanism tp_btf.
absl::StatusOr<std::pair<std::string, std::string>> ParseMechanism(const std::string& text) {
  const size_t colon = text.find(':');
  if (colon == std::string::npos)
    return absl::InvalidArgumentError(absl::StrCat(Quoted(text), " is not PROBE:MECHANISM"));
  const std::pair<std::string, std::string> mechanism(text.substr(0, colon),
                                                      text.substr(colon + 1));
  RETURN_IF_ERROR(CheckAvoided({.avoid = {mechanism}}));
  return mechanism;
}

ValueType Mechanisms() {
  return {.metavar = "PROBE:MECHANISM",
          .is_list = true,
          .separator = ',',
          .set = [](const Texts& value, Config* config) -> absl::Status {
            std::vector<std::pair<std::string, std::string>> avoid;
            for (const std::string& text : value) {
              ASSIGN_OR_RETURN(avoid.emplace_back(), ParseMechanism(text));
            }
            config->probes.avoid = std::move(avoid);
            return absl::OkStatus();
          },
          .get =
              [](const Config& config) {
                Texts out;
                for (const auto& [probe, mechanism] : config.probes.avoid)
                  out.push_back(absl::StrCat(probe, ":", mechanism));
                return out;
              }};
}

ValueType DnsPorts() {
  return {.metavar = "N",
          .is_list = true,
          .separator = ',',
          .range = {{1, 65'535}},
          .set = [](const Texts& value, Config* config) -> absl::Status {
            if (value.empty() || value.size() > kDnsPortsMax)
              return absl::InvalidArgumentError(
                  absl::StrCat("expected 1 to ", kDnsPortsMax, " ports, not ", value.size()));
            std::vector<uint16_t> ports;
            for (const std::string& text : value) {
              ASSIGN_OR_RETURN(const int64_t port, ParseNumber(text, 1, 65'535));
              ports.push_back(static_cast<uint16_t>(port));
            }
            config->probes.dns_ports = std::move(ports);
            return absl::OkStatus();
          },
          .get =
              [](const Config& config) {
                Texts out;
                for (const uint16_t port : config.probes.dns_ports)
                  out.push_back(absl::StrCat(port));
                return out;
              }};
}

// Mappings of YAML, which config_file.cc reads.
ValueType Mappings() { return {.metavar = "YAML", .is_list = true}; }

// Which sandboxes to watch.
std::vector<Setting> SelectionSettings() {
  return {
      {.key = "sandboxes",
       .type = Mappings(),
       .help = "rules that select sandboxes; the first rule that matches decides",
       .commands = kWithProbes,
       .has_flag = false,
       .default_text = "rules for OpenSandbox and agent-sandbox"},
      {.key = "runtimes",
       .type = Mappings(),
       .help = "sockets of container runtimes",
       .commands = kWithProbes,
       .has_flag = false,
       .default_text = "the known sockets that exist at the start"},
      {.key = "bundle_folders",
       .type = List(Member<&Config::discovery, &DiscoveryOptions::bundle_folders>{}, "YAML"),
       .help = "directories of OCI bundles, one directory for each container; * matches",
       .commands = kWithProbes,
       .has_flag = false,
       .default_text = "those of containerd, k3s, Podman and CRI-O"},
      {.key = "sidecar_containers",
       .type = List(Member<&Config::discovery, &DiscoveryOptions::sidecars>{}, "YAML"),
       .help = "names of containers that are a sidecar of their pod",
       .commands = kWithProbes,
       .has_flag = false},
      {.key = "cgroup",
       .type = List(Member<&Config::cgroups>{}, "PATH[=ID]"),
       .help = "watch this cgroup and all below it as a sandbox; * and ? match; repeatable",
       .commands = kRun},
      {.key = "all_containers",
       .type = Switch(Member<&Config::all_containers>{}),
       .help = "watch every container that no rule selects as a sandbox",
       .commands = kRun},
      {.key = "device",
       .type = List(Member<&Config::devices>{}, "[NETNS:]NAME[=ID]", ','),
       .help = "watch the sandbox at the other end of this tap or veth, such as a microVM; * and ? "
               "match; repeatable",
       .commands = kRun},
      {.key = "metadata_wait_ms",
       .type = Duration<milliseconds>(
           Member<&Config::discovery, &DiscoveryOptions::metadata_wait>{}, 0, kDayMs),
       .help = "how long events wait until the container runtime describes their container",
       .commands = kRun},
  };
}

// How the events of a sandbox are processed.
std::vector<Setting> EventSettings() {
  return {
      {.key = "dns_timeout_ms",
       .type = Duration<milliseconds>(Member<&Config::dns_timeout>{}, 1, kHourMs),
       .help = "time after which an unanswered lookup is reported as a timeout",
       .commands = kWithProbes},
      {.key = "dns_port",
       .type = DnsPorts(),
       .help = "ports of DNS servers, at most four",
       .commands = kWithProbes},
      {.key = "window_s",
       .type = Duration<seconds>(Member<&Config::window>{}, 1, 86'400),
       .help = "interval of egress.destination records",
       .commands = kWithProbes,
       .is_reloadable = true},
      {.key = "log_level",
       .type = Choice<Severity>(
           Member<&Config::log_level>{},
           {{"debug", Severity::kDebug}, {"info", Severity::kInfo}, {"warn", Severity::kWarn}}),
       .help = "minimum level of records",
       .commands = kWithProbes,
       .is_reloadable = true},
      {.key = "redact_arguments",
       .type = List(Member<&Config::redact_arguments>{}, "REGEX", '\0', CheckPattern),
       .help =
           "mask the matching text (only its groups, if any) in process arguments; replaces the "
           "built-in patterns of secrets; repeatable",
       .commands = kWithProbes,
       .is_reloadable = true,
       .default_text = "patterns of passwords and tokens"},
      {.key = "redact_hosts",
       .type = List(Member<&Config::redact_hosts>{}, "REGEX", '\0', CheckPattern),
       .help = "mask the matching text in host names, targets of rules and process arguments; "
               "repeatable",
       .commands = kWithProbes,
       .is_reloadable = true},
      {.key = "destinations_max",
       .type = Number(Member<&Config::destinations_max>{}, 1, 1'000'000),
       .help = "destinations of a sandbox that are counted one by one; further ones are summed up",
       .commands = kWithProbes},
      {.key = "metric_series_max",
       .type = Number(Member<&Config::series_max>{}, 1, 1'000'000),
       .help = "time series of each metric; sandboxes over the limit are summed up",
       .commands = kWithProbes},
      {.key = "metric_sandbox_id",
       .type = Switch(Member<&Config::sandbox_in_metrics>{}),
       .help = "metrics have the attribute sandbox_id; off: they are sums over all sandboxes",
       .commands = kWithProbes},
  };
}

// Where records and messages go.
std::vector<Setting> OutputSettings() {
  return {
      {.key = "stdout",
       .type = Switch(Member<&Config::records_on_stdout>{}),
       .help = "write records to stdout, one JSON object a line",
       .commands = kRun},
      {.key = "socket",
       .type = Text(Member<&Config::api_socket>{}, "FILE"),
       .help = "unix socket of the running collector; \"\": none",
       .commands = kWithSocket},
      {.key = "recent_records",
       .type = Number(Member<&Config::recent_records>{}, 1, 1'000'000),
       .help = "records that the collector keeps for observe --last and --since",
       .commands = kRun},
      {.key = "spool",
       .type = Text(Member<&Config::spool, &Spool::Options::path>{}, "FILE"),
       .help = "file for records that the OTLP endpoint does not accept now; \"\": none",
       .commands = kRun},
      {.key = "spool_bytes",
       .type = Bytes(Member<&Config::spool, &Spool::Options::bytes_max>{}),
       .help = "maximum size of the spool; the oldest records are dropped",
       .commands = kRun},
      {.key = "spool_age_s",
       .type =
           Duration<seconds>(Member<&Config::spool, &Spool::Options::age_max>{}, 1, kYearSeconds),
       .help = "maximum age of records in the spool",
       .commands = kRun},
      {.key = "spool_write_first",
       .type = Switch(Member<&Config::spool_write_first>{}),
       .help = "write every record to the spool before it is sent",
       .commands = kRun},
      {.key = "flush_timeout_ms",
       .type = Duration<milliseconds>(Member<&Config::flush_timeout>{}, 0, kHourMs),
       .help = "time allowed to send remaining data at shutdown",
       .commands = kWithProbes,
       .is_reloadable = true},
      {.key = "capture",
       .type = Text(Member<&Config::capture, &CaptureWriter::Options::path>{}, "FILE"),
       .help = "write raw kernel events to this file for replay; nothing in it is masked",
       .commands = kExecAndRun},
      {.key = "capture_bytes",
       .type = Bytes(Member<&Config::capture, &CaptureWriter::Options::bytes_max>{}),
       .help = "maximum size of the capture; the collector continues without it",
       .commands = kExecAndRun},
      {.key = "diagnostics",
       .type = Choice<DiagnosticFormat>(
           Member<&Config::diagnostics, &DiagnosticOptions::format>{},
           {{"text", DiagnosticFormat::kText}, {"json", DiagnosticFormat::kJson}}),
       .help = "format of sandpiper's own messages on stderr",
       .commands = kExecAndRun,
       .is_reloadable = true},
      {.key = "verbose",
       .type = Switch(Member<&Config::diagnostics, &DiagnosticOptions::verbose>{}),
       .help = "write debug messages about sandpiper itself to stderr",
       .commands = kExecAndRun,
       .is_reloadable = true},
  };
}

// How the BPF programs work.
std::vector<Setting> ProbeSettings() {
  return {
      {.key = "ring_bytes",
       .type = RingBytes(Member<&Config::probes, &ProbeOptions::bulk_ring_bytes>{}),
       .help = "size of the ring buffer for DNS and connection events; a power of two",
       .commands = kWithProbes},
      {.key = "critical_ring_bytes",
       .type = RingBytes(Member<&Config::probes, &ProbeOptions::critical_ring_bytes>{}),
       .help = "size of the ring buffer for process events; a power of two",
       .commands = kWithProbes},
      {.key = "limit_records",
       .type = Switch(Member<&Config::probes, &ProbeOptions::limit_sandboxes>{}),
       .help = "cap each sandbox's share of the ring buffers",
       .commands = kRun},
      {.key = "kernel_flows_max",
       .type = Number(Member<&Config::probes, &ProbeOptions::flows_max>{}, 1'024, 4'194'304),
       .help = "flows that the BPF programs remember, for all sandboxes together",
       .commands = kWithProbes},
      {.key = "avoid",
       .type = Mechanisms(),
       .help = "do not use this mechanism of a probe; the probe falls back to its next mechanism; "
               "repeatable",
       .commands = kWithProbes},
      {.key = "canary_interval_ms",
       .type = Duration<milliseconds>(Member<&Config::canary_interval>{}, 0, kDayMs),
       .help = "interval of the probe self-test; 0: no self-test",
       .commands = kRun},
      {.key = "program_statistics",
       .type = Switch(Member<&Config::probes, &ProbeOptions::program_statistics>{}),
       .help = "measure the runs and the run time of the BPF programs",
       .commands = kWithProbes},
      {.key = "limit_system_calls",
       .type = Switch(Member<&Config::limit_system_calls>{}),
       .help = "restrict sandpiper with seccomp after start-up",
       .commands = kWithProbes},
  };
}

}  // namespace

const std::vector<Setting>& Settings() {
  static const std::vector<Setting> settings = [] {
    std::vector<Setting> all;
    for (const auto& part :
         {SelectionSettings(), EventSettings(), OutputSettings(), ProbeSettings()})
      all.insert(all.end(), part.begin(), part.end());
    return all;
  }();
  return settings;
}

const Setting* FindSetting(std::string_view key) {
  const auto found = std::find_if(Settings().begin(), Settings().end(),
                                  [key](const Setting& setting) { return setting.key == key; });
  return found == Settings().end() ? nullptr : &*found;
}

std::string Setting::Flag() const {
  return absl::StrCat("--", absl::StrReplaceAll(key, {{"_", "-"}}));
}

std::string Setting::Variable() const {
  return absl::StrCat("SANDPIPER_", absl::AsciiStrToUpper(key));
}

std::string Setting::DefaultText() const {
  if (default_text)
    return default_text;
  return type.get ? absl::StrJoin(type.get(Config()), ",") : "";
}

bool Setting::IsOnByDefault() const { return type.is_switch && DefaultText() == "true"; }

bool Setting::BelongsTo(std::string_view command) const {
  return std::find(commands.begin(), commands.end(), command) != commands.end();
}

absl::Status ReadSettingVariables(std::string_view command, const GetEnv& get_env, Config* config) {
  for (const Setting& setting : Settings()) {
    const std::string variable = setting.Variable();
    const std::string text = get_env(variable.c_str());
    if (text.empty() || !setting.BelongsTo(command))
      continue;
    if (!setting.has_flag) {
      RETURN_IF_ERROR(ReadConfigValue(variable, setting.key, text, config));
      continue;
    }
    const absl::Status status = setting.type.set(SplitValue(setting.type, text), config);
    if (!status.ok())
      return absl::InvalidArgumentError(absl::StrCat(variable, ": ", status.message()));
  }
  return absl::OkStatus();
}

}  // namespace sandpiper
