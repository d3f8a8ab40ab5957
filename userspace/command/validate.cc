// SPDX-License-Identifier: Apache-2.0
// sandpiper validate: what a configuration means, before a collector starts with it.
#include <rapidjson/prettywriter.h>
#include <rapidjson/stringbuffer.h>

#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "userspace/attribution/devices.h"
#include "userspace/command/commands.h"
#include "userspace/command/errors.h"
#include "userspace/command/text_table.h"
#include "userspace/sandbox/cgroup_fs.h"

namespace sandpiper {
namespace {

struct Setting {
  std::string name;
  std::vector<std::string> values;
};

std::string RuleText(const SelectionRule& rule) {
  static constexpr const char* kBy[] = {"label",  "annotation", "environment",
                                        "cgroup", "unit",       "container"};
  std::string out = absl::StrCat(kBy[static_cast<size_t>(rule.by)], " ",
                                 rule.by == SelectionRule::By::kContainer ? "any" : rule.key);
  if (!rule.name_space.empty())
    absl::StrAppend(&out, ", namespace ", rule.name_space);
  for (const auto& [key, value] : rule.labels)
    absl::StrAppend(&out, ", label ", key, "=", value);
  if (rule.id_is_pod)
    out += ", the pod's name is the id";
  return absl::StrCat(out, rule.role == Role::kApp ? "" : absl::StrCat(", role ", Name(rule.role)));
}

// Headers are left out: they hold tokens.
std::string EndpointText(const OtlpEndpoint& endpoint) {
  std::string out =
      absl::StrCat("OTLP over ", endpoint.protocol == OtlpProtocol::kGrpc ? "gRPC to " : "HTTP to ",
                   endpoint.target);
  if (!endpoint.unix_socket.empty())
    absl::StrAppend(&out, " at ", endpoint.unix_socket);
  if (endpoint.tls || absl::StartsWith(endpoint.target, "https://"))
    out += endpoint.client_certificate_file.empty() ? ", TLS" : ", TLS with a client certificate";
  if (endpoint.gzip)
    out += ", gzip";
  for (const auto& [key, value] : endpoint.headers)
    absl::StrAppend(&out, ", header ", key);
  return out;
}

std::vector<std::string> Outputs(const SignalConfig& signal, bool on_stdout) {
  std::vector<std::string> out;
  if (on_stdout)
    out.push_back("stdout");
  if (signal.otlp)
    out.push_back(EndpointText(*signal.otlp));
  if (signal.prometheus)
    out.push_back(absl::StrCat("Prometheus at ", *signal.prometheus));
  return out;
}

std::vector<Setting> Describe(const Config& config) {
  std::vector<Setting> out;
  const auto add = [&](const char* name, std::vector<std::string> values) {
    out.push_back({name, std::move(values)});
  };
  std::vector<std::string> rules, sockets, keys, resource;
  for (const SelectionRule& rule : config.discovery.rules)
    rules.push_back(RuleText(rule));
  for (const RuntimeSocket& socket : config.discovery.sockets)
    sockets.push_back(
        absl::StrCat(socket.api == RuntimeSocket::Api::kCri ? "cri " : "docker ", socket.path));
  for (const auto& [key, value] : config.file)
    keys.push_back(key);
  for (const Attribute& attribute : config.otel.resource) {
    if (const auto* const text = std::get_if<SharedText>(&attribute.value))
      resource.push_back(
          absl::StrCat(std::string(attribute.key.view()), "=", std::string(text->view())));
  }
  add("keys of the file", keys);
  add("cgroups", config.cgroups);
  add("devices", config.devices);
  add("rules", rules);
  add("runtimes", sockets);
  add("records", Outputs(config.otel.logs, config.records_on_stdout));
  add("metrics",
      Outputs(config.otel.metrics, config.otel.metrics.console && config.records_on_stdout));
  add("spool", config.spool.path.empty()
                   ? std::vector<std::string>{}
                   : std::vector<std::string>{absl::StrCat(config.spool.path, ", at most ",
                                                           BytesText(config.spool.bytes_max))});
  add("socket", config.api_socket.empty() ? std::vector<std::string>{}
                                          : std::vector<std::string>{config.api_socket});
  add("resource", resource);
  add("hidden in arguments", config.redact_arguments);
  add("hidden in hosts", config.redact_hosts);
  add("warnings", config.warnings);
  return out;
}

void PrintJson(const std::vector<Setting>& settings) {
  rapidjson::StringBuffer buffer;
  rapidjson::PrettyWriter<rapidjson::StringBuffer> json(buffer);
  json.StartObject();
  for (const Setting& setting : settings) {
    json.Key(absl::StrJoin(absl::StrSplit(setting.name, ' '), "_").c_str());
    json.StartArray();
    for (const std::string& value : setting.values)
      json.String(value.data(), static_cast<rapidjson::SizeType>(value.size()));
    json.EndArray();
  }
  json.EndObject();
  printf("%s\n", buffer.GetString());
}

void PrintTable(const std::vector<Setting>& settings) {
  for (const Setting& setting : settings) {
    std::string name = setting.name;
    for (const std::string& value :
         setting.values.empty() ? std::vector<std::string>{"none"} : setting.values) {
      printf("%s %s\n", Pad(name, 20).c_str(), value.c_str());
      name.clear();
    }
  }
}

}  // namespace

int RunValidate(Config config, ReportFormat format) {
  config.probes.devices = !config.devices.empty();
  // Patterns are about paths; which one the mount has is for this alone.
  const auto mount = FindCgroupMount();
  if (const absl::Status status = ResolveDiscovery(mount.ok() ? *mount : "/sys/fs/cgroup", &config);
      !status.ok())
    return Fail(status, kExitFailure);
  if (const auto devices = ParseDevices(config.devices); !devices.ok())
    return Fail(devices.status(), kExitFailure);
  const std::vector<Setting> settings = Describe(config);
  if (format == ReportFormat::kJson)
    PrintJson(settings);
  else
    PrintTable(settings);
  return 0;
}

}  // namespace sandpiper
