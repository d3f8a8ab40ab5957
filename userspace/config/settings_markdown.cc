// SPDX-License-Identifier: Apache-2.0
#include "userspace/config/settings_markdown.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "userspace/config/settings.h"

namespace sandpiper {
namespace {

constexpr char kBegin[] = "<!-- settings: begin -->\n", kEnd[] = "<!-- settings: end -->\n";

std::string Code(const std::string& text) {
  // A bar would end the cell.
  return text.empty() ? "" : absl::StrCat("`", absl::StrReplaceAll(text, {{"|", "\\|"}}), "`");
}

std::string Meaning(const Setting& setting) {
  std::string out = absl::StrCat(setting.IsOnByDefault() ? "turns off: " : "", setting.help);
  if (setting.type.range)
    absl::StrAppend(&out, " (", setting.type.range->first, " to ", setting.type.range->second, ")");
  if (setting.is_reloadable)
    out += "; reloadable";
  return absl::StrReplaceAll(out, {{"*", "\\*"}, {"|", "\\|"}});
}

std::string Default(const Setting& setting) {
  return setting.default_text ? setting.default_text : Code(setting.DefaultText());
}

std::string NameInTable(const Setting& setting) {
  if (!setting.has_flag)
    return Code(setting.key);
  // The useful form of a switch is the one that changes the default.
  if (setting.IsOnByDefault())
    return Code(absl::StrCat("--no-", setting.Flag().substr(2)));
  return Code(
      absl::StrCat(setting.Flag(), setting.type.is_switch ? "" : " ", setting.type.metavar));
}

std::string Commands(const Setting& setting) {
  std::vector<std::string> shown;
  for (const std::string_view command : setting.commands) {
    if (command == "exec" || command == "run")
      shown.push_back(Code(std::string(command)));
  }
  return absl::StrJoin(shown, ", ");
}

std::string Table(bool has_flag) {
  std::string out = absl::StrCat("| ", has_flag ? "flag" : "key",
                                 " | environment variable | default | commands | meaning |\n"
                                 "|---|---|---|---|---|\n");
  for (const Setting& setting : Settings()) {
    if (setting.has_flag != has_flag)
      continue;
    absl::StrAppend(&out, "| ", NameInTable(setting), " | ", Code(setting.Variable()), " | ",
                    Default(setting), " | ", Commands(setting), " | ", Meaning(setting), " |\n");
  }
  return out;
}

}  // namespace

std::string WithSettings(const std::string& document) {
  const size_t begin = document.find(kBegin);
  const size_t end = document.find(kEnd);
  if (begin == std::string::npos || end == std::string::npos || end < begin)
    return "";
  return absl::StrCat(document.substr(0, begin + sizeof(kBegin) - 1), Table(/*has_flag=*/true),
                      "\nThese settings have no flag. Their environment variables hold YAML, like "
                      "the file:\n\n",
                      Table(/*has_flag=*/false), document.substr(end));
}

}  // namespace sandpiper
