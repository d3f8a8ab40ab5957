// SPDX-License-Identifier: Apache-2.0
#include "userspace/command/record_text.h"

#include <rapidjson/document.h>
#include <unistd.h>

#include <cstdlib>
#include <map>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "userspace/command/text_table.h"

namespace sandpiper {
namespace {

constexpr size_t kArgumentsShown = 120;  // characters
constexpr size_t kListShown = 3;

// The attributes of one record. An absent one is empty or 0.
class Attributes {
 public:
  explicit Attributes(const rapidjson::Document& json) : json_(json) {}

  bool Has(const char* key) const { return json_.HasMember(key); }
  std::string Text(const char* key) const {
    const auto found = json_.FindMember(key);
    return found != json_.MemberEnd() && found->value.IsString()
               ? std::string(found->value.GetString(), found->value.GetStringLength())
               : "";
  }
  int64_t Number(const char* key) const {
    const auto found = json_.FindMember(key);
    return found != json_.MemberEnd() && found->value.IsInt64() ? found->value.GetInt64() : 0;
  }
  std::vector<std::string> List(const char* key) const {
    std::vector<std::string> out;
    const auto found = json_.FindMember(key);
    if (found == json_.MemberEnd() || !found->value.IsArray())
      return out;
    for (const auto& entry : found->value.GetArray()) {
      if (entry.IsString())
        out.emplace_back(entry.GetString(), entry.GetStringLength());
      else if (entry.IsObject() && entry.HasMember("action") && entry.HasMember("target"))
        out.push_back(absl::StrCat(entry["action"].GetString(), " ", entry["target"].GetString()));
    }
    return out;
  }

 private:
  const rapidjson::Document& json_;
};

// The first entries of a list, and the number of the others: "a, b, c, +2".
std::string First(std::vector<std::string> list) {
  const size_t hidden = list.size() > kListShown ? list.size() - kListShown : 0;
  list.resize(list.size() - hidden);
  return absl::StrCat(absl::StrJoin(list, ", "), hidden > 0 ? absl::StrCat(", +", hidden) : "");
}

std::string Target(const Attributes& record) {
  std::string out = record.Text("target.host");
  if (out.empty())
    out = record.Text("peer");
  if (record.Has("dns.question.type"))
    return absl::StrCat(out, " ", record.Text("dns.question.type"));
  if (!record.Has("network.peer.port"))
    return out;
  const bool is_ipv6 = out.find(':') != std::string::npos;
  return absl::StrCat(is_ipv6 ? "[" : "", out, is_ipv6 ? "]:" : ":",
                      record.Number("network.peer.port"), "/", record.Text("network.transport"));
}

std::string Rules(const Attributes& record) {
  std::vector<std::string> parts;
  if (record.Has("egress.default"))
    parts.push_back("default " + record.Text("egress.default"));
  for (const auto& [key, sign] : {std::pair{"rules", "+ "}, {"rules.removed", "- "}}) {
    if (const std::string rules = First(record.List(key)); !rules.empty())
      parts.push_back(sign + rules);
  }
  if (record.Has("rules.count"))
    parts.push_back(absl::StrCat(record.Number("rules.count"), " rules"));
  return absl::StrJoin(parts, "; ");
}

std::string ProcessText(const Attributes& record) {
  const std::string name = record.Text("process.executable.name");
  if (!record.Has("process.pid"))
    return name;
  return absl::StrCat(name, "[", record.Number("process.pid"), "]");
}

void Describe(const Attributes& record, RecordText* out) {
  const std::string& event = out->event;
  if (event == "egress.outbound") {
    out->detail = Target(record);
    out->result =
        record.Has("target.ips") ? First(record.List("target.ips")) : record.Text("egress.outcome");
  } else if (event == "egress.denied") {
    out->detail = Target(record);
    out->result = record.Number("count") > 1 ? absl::StrCat(record.Text("egress.layer"), ", ",
                                                            record.Number("count"), " times")
                                             : record.Text("egress.layer");
  } else if (event == "egress.failed") {
    out->detail = Target(record);
    out->result = record.Text("error.type");
  } else if (event == "egress.destination") {
    out->detail = record.Has("network.peer.port") ? Target(record) : "further destinations";
    out->result = absl::StrCat(
        record.Number("egress.attempts"), " attempts, ", record.Number("egress.established"),
        " established, ", record.Number("egress.denied"), " denied, ",
        record.Number("egress.failed"), " failed, ",
        BytesText(static_cast<uint64_t>(record.Number("network.io.sent"))), " sent, ",
        BytesText(static_cast<uint64_t>(record.Number("network.io.received"))), " received");
  } else if (event == "process.exec") {
    out->detail = Fit(absl::StrJoin(record.List("process.command_args"), " "), kArgumentsShown);
  } else if (event == "process.exit") {
    out->result = record.Has("process.exit.signal")
                      ? absl::StrCat("signal ", record.Number("process.exit.signal"))
                      : absl::StrCat("exit ", record.Number("process.exit.code"));
  } else if (event == "egress.loaded" || event == "egress.updated" ||
             event == "egress.update_failed") {
    out->detail = Rules(record);
    out->result = record.Text("error");
    if (record.Text("actor") == "host")
      out->result = "by the host";
  } else if (event == "sandbox.stopped" || event == "sandpiper.loss") {
    out->result = absl::StrCat(record.Number("sandpiper.dropped"), " dropped");
  }
}

constexpr size_t kWidths[] = {13, 20, 19, 40, 28, 0};

std::string TableLine(const std::vector<std::string>& cells) {
  std::string line;
  for (size_t i = 0; i < cells.size(); ++i)
    line += Pad(cells[i], kWidths[i]) + " ";
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

// The parameter of "select graphic rendition" (ECMA-48), or null.
const char* Color(const RecordText& record) {
  static const std::map<std::string, const char*> by_event = {
      {"egress.failed", "33"},  {"process.exec", "34"},   {"process.exit", "2"},
      {"egress.loaded", "35"},  {"egress.updated", "35"}, {"sandbox.started", "32"},
      {"sandbox.stopped", "32"}};
  if (record.level == "warn" || record.level == "error")
    return "31";
  const auto found = by_event.find(record.event);
  return found == by_event.end() ? nullptr : found->second;
}

}  // namespace

std::vector<std::string> RecordText::Cells() const {
  return {time, sandbox, event, detail, result, process};
}

std::string RecordText::Compact(bool color) const {
  std::string out = absl::StrCat(time, " ", sandbox, " ");
  const char* const code = color ? Color(*this) : nullptr;
  absl::StrAppend(&out, code ? absl::StrCat("\x1b[", code, "m") : "", event, code ? "\x1b[0m" : "");
  for (const std::string& part : {detail, result.empty() ? "" : absl::StrCat("(", result, ")"),
                                  process.empty() ? "" : "by " + process}) {
    if (!part.empty())
      absl::StrAppend(&out, " ", part);
  }
  return out;
}

std::string TableTitles() {
  return TableLine({"TIME", "SANDBOX", "EVENT", "DETAIL", "RESULT", "PROCESS"});
}

std::string RecordLine(const std::string& json, RecordFormat format, bool color) {
  if (format == RecordFormat::kJson)
    return json;
  const auto text = ReadRecord(json);
  if (!text.ok())
    return json;
  return format == RecordFormat::kTable ? TableLine(text->Cells()) : text->Compact(color);
}

bool WantsColor(ColorMode mode) {
  // https://no-color.org
  const char* const no_color = getenv("NO_COLOR");
  return mode == ColorMode::kAlways ||
         (mode == ColorMode::kAuto && isatty(STDOUT_FILENO) && !(no_color && *no_color != '\0'));
}

absl::StatusOr<RecordText> ReadRecord(const std::string& json) {
  rapidjson::Document document;
  document.Parse(json.data(), json.size());
  if (document.HasParseError() || !document.IsObject() || !document.HasMember("opensandbox.event"))
    return absl::InvalidArgumentError("this is not a record of sandpiper");
  const Attributes record(document);
  RecordText out = {.level = record.Text("level"),
                    .sandbox = record.Text("sandbox_id"),
                    .event = record.Text("opensandbox.event"),
                    .process = ProcessText(record)};
  // "2026-01-02T03:04:05.000000006Z"
  const std::string ts = record.Text("ts");
  out.time = ts.size() > 23 ? absl::StrCat(ts.substr(11, 12), "Z") : ts;
  Describe(record, &out);
  return out;
}

}  // namespace sandpiper
