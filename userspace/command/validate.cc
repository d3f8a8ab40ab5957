// SPDX-License-Identifier: Apache-2.0
// sandpiper validate: checks a configuration and prints the effective settings.
#include <rapidjson/prettywriter.h>
#include <rapidjson/stringbuffer.h>

#include <cstdio>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "userspace/attribution/devices.h"
#include "userspace/command/commands.h"
#include "userspace/command/errors.h"
#include "userspace/command/text_table.h"
#include "userspace/config/settings.h"
#include "userspace/export/secret_patterns.h"
#include "userspace/sandbox/cgroup_fs.h"

namespace sandpiper {
namespace {

// One part of the output.
struct Section {
  const char* key;    // in JSON
  const char* title;  // in the table
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
    out += ", the id is the name of the pod";
  return absl::StrCat(out, rule.role == Role::kApp ? "" : absl::StrCat(", role ", Name(rule.role)));
}

// Only the names of headers, because their values may be tokens. The URL may have a password.
std::string EndpointText(const OtlpEndpoint& endpoint) {
  std::string out =
      absl::StrCat("OTLP over ", endpoint.protocol == OtlpProtocol::kGrpc ? "gRPC to " : "HTTP to ",
                   WithoutSecrets(endpoint.target));
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

std::vector<std::string> RuleTexts(const std::vector<SelectionRule>& rules) {
  std::vector<std::string> out;
  for (const SelectionRule& rule : rules)
    out.push_back(RuleText(rule));
  return out;
}

std::vector<std::string> SocketTexts(const std::vector<RuntimeSocket>& sockets) {
  std::vector<std::string> out;
  for (const RuntimeSocket& socket : sockets) {
    const char* const api = socket.api == RuntimeSocket::Api::kCri ? "cri " : "docker ";
    out.push_back(absl::StrCat(api, socket.path));
  }
  return out;
}

std::vector<std::string> ResourceTexts(const std::vector<Attribute>& resource) {
  std::vector<std::string> out;
  for (const Attribute& attribute : resource) {
    if (const auto* const text = std::get_if<SharedText>(&attribute.value))
      out.push_back(
          absl::StrCat(std::string(attribute.key.view()), "=", std::string(text->view())));
  }
  return out;
}

std::vector<std::string> FileKeys(const Config& config) {
  std::vector<std::string> out;
  for (const auto& [key, unused] : config.file)
    out.push_back(key);
  return out;
}

// "window_s=60": the settings that no other section shows.
std::vector<std::string> SettingTexts(const Config& config) {
  static const std::set<std::string> kInOtherSections = {
      "sandboxes", "runtimes", "cgroup", "device", "redact_arguments", "redact_hosts"};
  std::vector<std::string> out;
  for (const Setting& setting : Settings()) {
    if (!kInOtherSections.contains(setting.key))
      out.push_back(absl::StrCat(setting.key, "=", absl::StrJoin(setting.type.get(config), ",")));
  }
  return out;
}

// A list without empty texts.
std::vector<std::string> OptionalText(std::string text) {
  if (text.empty())
    return {};
  return {std::move(text)};
}

std::vector<Section> Describe(const Config& config) {
  const Spool::Options& spool = config.spool;
  const std::string spool_text =
      spool.path.empty() ? "" : absl::StrCat(spool.path, ", at most ", BytesText(spool.bytes_max));
  return {
      {"keys_of_the_file", "config file keys", FileKeys(config)},
      {"cgroups", "cgroups", config.cgroups},
      {"devices", "devices", config.devices},
      {"rules", "rules", RuleTexts(config.discovery.rules)},
      {"runtimes", "runtimes", SocketTexts(config.discovery.sockets)},
      {"records", "records", Outputs(config.otel.logs, config.records_on_stdout)},
      {"metrics", "metrics",
       Outputs(config.otel.metrics, config.otel.metrics.console && config.records_on_stdout)},
      {"spool", "spool", OptionalText(spool_text)},
      {"socket", "socket", OptionalText(config.api_socket)},
      {"resource", "resource", ResourceTexts(config.otel.resource)},
      {"hidden_in_arguments", "argument redaction", config.redact_arguments},
      {"hidden_in_hosts", "host redaction", config.redact_hosts},
      {"settings", "other settings", SettingTexts(config)},
      {"warnings", "warnings", config.warnings},
  };
}

void PrintJson(const std::vector<Section>& sections) {
  rapidjson::StringBuffer buffer;
  rapidjson::PrettyWriter<rapidjson::StringBuffer> json(buffer);
  json.StartObject();
  for (const Section& section : sections) {
    json.Key(section.key);
    json.StartArray();
    for (const std::string& value : section.values)
      json.String(value.data(), static_cast<rapidjson::SizeType>(value.size()));
    json.EndArray();
  }
  json.EndObject();
  printf("%s\n", buffer.GetString());
}

void PrintTable(const std::vector<Section>& sections) {
  for (const Section& section : sections) {
    std::string title = section.title;
    for (const std::string& value :
         section.values.empty() ? std::vector<std::string>{"none"} : section.values) {
      printf("%s %s\n", Pad(title, 20).c_str(), value.c_str());
      title.clear();
    }
  }
}

}  // namespace

int RunValidate(Config config, ReportFormat format) {
  config.probes.devices = !config.devices.empty();
  // The mount point is only needed to shorten patterns, so a host without cgroup v2 can validate
  // too.
  const auto mount = FindCgroupMount();
  if (const absl::Status status = ResolveDiscovery(mount.ok() ? *mount : "/sys/fs/cgroup", &config);
      !status.ok())
    return Fail(status, kExitFailure);
  if (const auto devices = ParseDevices(config.devices); !devices.ok())
    return Fail(devices.status(), kExitFailure);
  const std::vector<Section> sections = Describe(config);
  if (format == ReportFormat::kJson)
    PrintJson(sections);
  else
    PrintTable(sections);
  return 0;
}

}  // namespace sandpiper
