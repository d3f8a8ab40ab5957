// SPDX-License-Identifier: Apache-2.0
#include "userspace/config/config_file.h"

#include <yaml-cpp/yaml.h>

#include <functional>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "userspace/base/status.h"
#include "userspace/base/text.h"

namespace sandpiper {
namespace {

// yaml-cpp throws; nothing else does. Caught at the two doors of this file.
class Bad : public std::exception {
 public:
  Bad(const YAML::Node& where, std::string what)
      : line(where.Mark().line + 1), message(std::move(what)) {}
  int line;
  std::string message;
};

template <typename T>
T As(const YAML::Node& node, const char* expected) {
  try {
    return node.as<T>();
  } catch (const YAML::Exception&) {
    throw Bad(node, absl::StrCat("expected ", expected));
  }
}

std::string Text(const YAML::Node& node) {
  if (!node.IsScalar())
    throw Bad(node, "expected a text");
  return node.Scalar();
}

std::vector<std::string> Texts(const YAML::Node& node) {
  if (node.IsScalar())
    return {node.Scalar()};
  if (!node.IsSequence())
    throw Bad(node, "expected a list of texts");
  std::vector<std::string> out;
  for (const YAML::Node& entry : node)
    out.push_back(Text(entry));
  return out;
}

int64_t Number(const YAML::Node& node, int64_t from, int64_t to) {
  const int64_t value = As<int64_t>(node, "a whole number");
  if (value < from || value > to)
    throw Bad(node, absl::StrCat(value, " is not between ", from, " and ", to));
  return value;
}

std::chrono::milliseconds Milliseconds(const YAML::Node& node) {
  return std::chrono::milliseconds(Number(node, 0, 86'400'000));
}

uint32_t RingBytes(const YAML::Node& node) {
  const std::string text = Text(node);
  const absl::StatusOr<uint32_t> bytes = ParseRingSize(text);
  if (!bytes.ok())
    throw Bad(node, std::string(bytes.status().message()));
  return *bytes;
}

std::vector<std::string> Patterns(const YAML::Node& node) {
  std::vector<std::string> out = Texts(node);
  if (const auto patterns = Redaction::Make(out); !patterns.ok())
    throw Bad(node, std::string(patterns.status().message()));
  return out;
}

uint64_t Bytes(const YAML::Node& node) {
  const absl::StatusOr<uint64_t> bytes = ParseBytes(Text(node));
  if (!bytes.ok())
    throw Bad(node, std::string(bytes.status().message()));
  return *bytes;
}

// Every key of a map has a reader, or is an error that says which there are.
using Readers = std::map<std::string, std::function<void(const YAML::Node&)>>;

void ReadMap(const YAML::Node& node, const Readers& readers) {
  if (!node.IsMap())
    throw Bad(node, "expected keys and values");
  for (const auto& entry : node) {
    const std::string key = Text(entry.first);
    const auto reader = readers.find(key);
    if (reader == readers.end()) {
      const auto name = [](std::string* out, const auto& known) { out->append(known.first); };
      throw Bad(entry.first, absl::StrCat("there is no key ", Escape(key), ", but ",
                                          absl::StrJoin(readers, ", ", name)));
    }
    try {
      reader->second(entry.second);
    } catch (Bad& bad) {
      bad.message = absl::StrCat(key, ": ", bad.message);
      throw;
    }
  }
}

SelectionRule ReadRule(const YAML::Node& node) {
  using By = SelectionRule::By;
  std::optional<SelectionRule> rule;
  SelectionRule rest;
  bool role_given = false;
  const auto by = [&](By kind) {
    return [&rule, kind](const YAML::Node& value) {
      if (rule)
        throw Bad(value, "a rule goes by one thing only");
      if (kind == By::kContainer && Text(value) != "any")
        throw Bad(value, "expected any");
      absl::StatusOr<SelectionRule> made = MakeRule(kind, Text(value));
      if (!made.ok())
        throw Bad(value, std::string(made.status().message()));
      rule = *std::move(made);
    };
  };
  ReadMap(node, {{"label", by(By::kLabel)},
                 {"annotation", by(By::kAnnotation)},
                 {"environment", by(By::kEnvironment)},
                 {"cgroup", by(By::kCgroup)},
                 {"unit", by(By::kUnit)},
                 {"container", by(By::kContainer)},
                 {"role",
                  [&](const YAML::Node& value) {
                    const std::string text = Text(value);
                    if (text != "app" && text != "sidecar")
                      throw Bad(value, "expected app or sidecar");
                    rest.role = text == "app" ? Role::kApp : Role::kSidecar;
                    role_given = true;
                  }},
                 {"id",
                  [&](const YAML::Node& value) {
                    if (Text(value) != "value" && Text(value) != "pod")
                      throw Bad(value, "expected value or pod");
                    rest.id_is_pod = Text(value) == "pod";
                  }},
                 {"namespace", [&](const YAML::Node& value) { rest.name_space = Text(value); }},
                 {"labels", [&](const YAML::Node& value) {
                    rest.labels = As<std::map<std::string, std::string>>(value, "texts by key");
                  }}});
  if (!rule)
    throw Bad(node, "a rule goes by label, annotation, environment, cgroup, unit or container");
  if (role_given)
    rule->role = rest.role;
  rule->id_is_pod = rest.id_is_pod;
  rule->name_space = rest.name_space;
  rule->labels = rest.labels;
  return *rule;
}

RuntimeSocket ReadSocket(const YAML::Node& node) {
  RuntimeSocket socket;
  bool api = false;
  ReadMap(node,
          {{"api",
            [&](const YAML::Node& value) {
              const std::string text = Text(value);
              if (text != "cri" && text != "docker")
                throw Bad(value, "expected cri (containerd, CRI-O) or docker (Docker, Podman)");
              socket.api = text == "cri" ? RuntimeSocket::Api::kCri : RuntimeSocket::Api::kEngine;
              api = true;
            }},
           {"socket", [&](const YAML::Node& value) { socket.path = Text(value); }}});
  if (!api || socket.path.empty())
    throw Bad(node, "a runtime has api and socket");
  return socket;
}

template <typename T>
std::vector<T> ReadList(const YAML::Node& node, T (*read)(const YAML::Node&)) {
  if (!node.IsSequence())
    throw Bad(node, "expected a list");
  std::vector<T> out;
  for (const YAML::Node& entry : node)
    out.push_back(read(entry));
  return out;
}

Readers AllReaders(Config* config) {
  return {
      {"sandboxes", [=](const YAML::Node& n) { config->rules = ReadList(n, ReadRule); }},
      {"runtimes", [=](const YAML::Node& n) { config->sockets = ReadList(n, ReadSocket); }},
      {"bundle_folders", [=](const YAML::Node& n) { config->discovery.bundle_folders = Texts(n); }},
      {"sidecar_containers",
       [=](const YAML::Node& n) {
         const std::vector<std::string> names = Texts(n);
         config->discovery.sidecars = {names.begin(), names.end()};
       }},
      {"metadata_wait_ms",
       [=](const YAML::Node& n) { config->discovery.metadata_wait = Milliseconds(n); }},
      {"all_containers",
       [=](const YAML::Node& n) { config->all_containers = As<bool>(n, "true or false"); }},
      {"cgroup", [=](const YAML::Node& n) { config->cgroups = Texts(n); }},
      {"device", [=](const YAML::Node& n) { config->devices = Texts(n); }},
      {"dns_timeout_ms",
       [=](const YAML::Node& n) {
         config->dns_timeout = std::chrono::milliseconds(Number(n, 1, 3'600'000));
       }},
      {"window_s",
       [=](const YAML::Node& n) { config->window = std::chrono::seconds(Number(n, 1, 86'400)); }},
      {"flush_timeout_ms",
       [=](const YAML::Node& n) {
         config->flush_timeout = std::chrono::milliseconds(Number(n, 0, 3'600'000));
       }},
      {"kernel_flows_max",
       [=](const YAML::Node& n) {
         config->probes.flows_max = static_cast<uint32_t>(Number(n, 1'024, 4'194'304));
       }},
      {"destinations_max",
       [=](const YAML::Node& n) {
         config->destinations_max = static_cast<size_t>(Number(n, 1, 1'000'000));
       }},
      {"metric_series_max",
       [=](const YAML::Node& n) {
         config->series_max = static_cast<size_t>(Number(n, 1, 1'000'000));
       }},
      {"metric_sandbox_id",
       [=](const YAML::Node& n) { config->sandbox_in_metrics = As<bool>(n, "true or false"); }},
      {"canary_interval_ms",
       [=](const YAML::Node& n) {
         config->canary_interval = std::chrono::milliseconds(Number(n, 0, 86'400'000));
       }},
      {"limit_records",
       [=](const YAML::Node& n) { config->probes.limit_sandboxes = As<bool>(n, "true or false"); }},
      {"limit_system_calls",
       [=](const YAML::Node& n) { config->limit_system_calls = As<bool>(n, "true or false"); }},
      {"program_statistics",
       [=](const YAML::Node& n) {
         config->probes.program_statistics = As<bool>(n, "true or false");
       }},
      {"dns_port",
       [=](const YAML::Node& n) {
         config->probes.dns_ports.clear();
         for (const YAML::Node& port : n.IsSequence() ? n : YAML::Load("[" + Text(n) + "]"))
           config->probes.dns_ports.push_back(static_cast<uint16_t>(Number(port, 1, 65'535)));
       }},
      {"ring_bytes", [=](const YAML::Node& n) { config->probes.bulk_ring_bytes = RingBytes(n); }},
      {"critical_ring_bytes",
       [=](const YAML::Node& n) { config->probes.critical_ring_bytes = RingBytes(n); }},
      {"redact_arguments", [=](const YAML::Node& n) { config->redact_arguments = Patterns(n); }},
      {"redact_hosts", [=](const YAML::Node& n) { config->redact_hosts = Patterns(n); }},
      {"capture", [=](const YAML::Node& n) { config->capture.path = Text(n); }},
      {"capture_bytes", [=](const YAML::Node& n) { config->capture.bytes_max = Bytes(n); }},
      {"spool", [=](const YAML::Node& n) { config->spool.path = Text(n); }},
      {"spool_bytes", [=](const YAML::Node& n) { config->spool.bytes_max = Bytes(n); }},
      {"spool_age_s",
       [=](const YAML::Node& n) {
         config->spool.age_max = std::chrono::seconds(Number(n, 1, 31'536'000));
       }},
      {"spool_write_first",
       [=](const YAML::Node& n) { config->spool_write_first = As<bool>(n, "true or false"); }},
      {"log_level",
       [=](const YAML::Node& n) {
         const std::map<std::string, Severity> levels = {
             {"debug", Severity::kDebug}, {"info", Severity::kInfo}, {"warn", Severity::kWarn}};
         const auto level = levels.find(Text(n));
         if (level == levels.end())
           throw Bad(n, "expected debug, info or warn");
         config->log_level = level->second;
       }},
      {"avoid",
       [=](const YAML::Node& n) {
         config->probes.avoid.clear();
         for (const std::string& one : Texts(n)) {
           const size_t colon = one.find(':');
           if (colon == std::string::npos)
             throw Bad(n, absl::StrCat(Escape(one), " is not PROBE:MECHANISM"));
           config->probes.avoid.emplace_back(one.substr(0, colon), one.substr(colon + 1));
         }
       }},
      {"socket", [=](const YAML::Node& n) { config->api_socket = Text(n); }},
      {"stdout",
       [=](const YAML::Node& n) { config->records_on_stdout = As<bool>(n, "true or false"); }},
      {"recent_records",
       [=](const YAML::Node& n) {
         config->recent_records = static_cast<size_t>(Number(n, 1, 1'000'000));
       }},
  };
}

absl::Status Read(const std::string& origin, const std::function<YAML::Node()>& load,
                  Config* config) {
  try {
    const YAML::Node root = load();
    if (!root.IsNull())
      ReadMap(root, AllReaders(config));
    for (const auto& entry : root)
      config->file[Text(entry.first)] = YAML::Dump(entry.second);
    return absl::OkStatus();
  } catch (const Bad& bad) {
    return absl::InvalidArgumentError(absl::StrCat(origin, ":", bad.line, ": ", bad.message));
  } catch (const YAML::BadFile&) {
    return absl::NotFoundError(absl::StrCat(origin, ": cannot be read"));
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(
        absl::StrCat(origin, ":", error.mark.line + 1, ": ", error.msg));
  }
}

}  // namespace

absl::Status ReadConfigFile(const std::string& path, Config* config) {
  return Read(
      path, [&] { return YAML::LoadFile(path); }, config);
}

absl::Status ReadConfigText(const std::string& origin, const std::string& yaml, Config* config) {
  return Read(
      origin, [&] { return YAML::Load(yaml); }, config);
}

absl::Status ReadConfigValue(const std::string& origin, const std::string& key,
                             const std::string& yaml, Config* config) {
  return Read(
      origin,
      [&] {
        YAML::Node root;
        root[key] = YAML::Load(yaml);
        return root;
      },
      config);
}

}  // namespace sandpiper
