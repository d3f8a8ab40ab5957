// SPDX-License-Identifier: Apache-2.0
#include "userspace/command/reference.h"

#include <CLI/CLI.hpp>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "userspace/base/version.h"

namespace sandpiper {
namespace {

constexpr char kManHead[] = R"(.SH NAME
sandpiper \- what a sandbox looked up, reached, ran and was refused, from the host kernel
.SH SYNOPSIS
.B sandpiper exec
.RI [ flags ]
.B \-\-
.I command ...
.br
.B sandpiper run
.RI [ flags ]
.br
.B sandpiper
.RB { observe | top | status | doctor | validate | replay | version }
.RI [ flags ]
.SH DESCRIPTION
sandpiper watches sandboxes (containers, pods, systemd units, any cgroup) with eBPF from the host kernel and tells of each one, without a
change to it: what it looked up, where it connected, what it ran, which nftables rules it was under, what was refused, and whether anything
was missed. Records and metrics go to stdout and, where an endpoint is configured, to OTLP.
.PP
.B exec
runs one command as a sandbox of its own and prints a report.
.B run
is the collector; the other commands ask it, or look at the host.
)";

constexpr char kManTail[] = R"(.SH ENVIRONMENT
A variable that stands behind a flag gives the same value; the flag beats it, and it beats the configuration file.
.PP
The variables of OpenTelemetry for exporters
.RB ( OTEL_EXPORTER_OTLP_ENDPOINT
and so on) say where logs and metrics go; without them nothing is sent.
.B OPENSANDBOX_EGRESS_SANDBOX_ID
names the only sandbox,
.B OPENSANDBOX_EGRESS_METRICS_EXTRA_ATTRS
adds attributes to everything.
.SH FILES
.TP
.I /etc/sandpiper/sandpiper.yaml
configuration of the service, YAML: each flag of
.B run
is a key, with _ for \-
.TP
.I /etc/default/sandpiper
variables of the service
.TP
.I /run/sandpiper/sandpiper.sock
where the collector answers
.TP
.I /var/lib/sandpiper/spool.db
log records that no endpoint took yet
.SH SIGNALS
.TP
.B SIGTERM, SIGINT
.B run
sends what it has, keeps the rest on disk, and exits with 0. The second one ends all that
.B exec
still runs.
.TP
.B SIGHUP
.B run
reads its configuration again, or keeps the old one and says why
.SH EXIT STATUS
.B exec
exits with the status of its command; with 128 and the signal's number where one ended it; 125 if the command was not started by a failure of
sandpiper's, 126 or 127 if it could not be run. The others: 0; 1 for a failure; 2 for a command line or configuration that is wrong.
)";

std::vector<const CLI::App*> Commands(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App* command) { return !command->get_group().empty(); });
}

std::vector<const CLI::Option*> Flags(const CLI::App& command) {
  std::vector<const CLI::Option*> out;
  for (const CLI::Option* option : command.get_options()) {
    if (!option->get_lnames().empty())
      out.push_back(option);
  }
  return out;
}

bool TakesValue(const CLI::Option& option) { return option.get_items_expected_max() > 0; }

// "-f", "--follow".
std::vector<std::string> Names(const CLI::Option& option) {
  std::vector<std::string> out;
  for (const std::string& name : option.get_snames())
    out.push_back("-" + name);
  for (const std::string& name : option.get_lnames())
    out.push_back("--" + name);
  return out;
}

std::string Roff(const std::string& text) {
  return absl::StrReplaceAll(text, {{"\\", "\\e"}, {"-", "\\-"}});
}

// Between single quotes of a shell.
std::string Quoted(const std::string& text) { return absl::StrReplaceAll(text, {{"'", "'\\''"}}); }

}  // namespace

std::string ManPage(const CLI::App& app) {
  std::string out = absl::StrCat(".TH SANDPIPER 8 \"\" \"sandpiper ", kVersion,
                                 "\" \"System administration\"\n", kManHead, ".SH COMMANDS\n");
  for (const CLI::App* command : Commands(app)) {
    absl::StrAppend(&out, ".SS sandpiper ", Roff(command->get_name()), "\n",
                    Roff(command->get_description()), "\n");
    for (const CLI::Option* flag : Flags(*command)) {
      absl::StrAppend(&out, ".TP\n.B ", Roff(absl::StrJoin(Names(*flag), ", ")),
                      TakesValue(*flag) ? " VALUE" : "", "\n", Roff(flag->get_description()), "\n");
      if (!flag->get_envname().empty())
        absl::StrAppend(&out, ".br\nEnvironment: ", Roff(flag->get_envname()), "\n");
    }
  }
  return out + kManTail;
}

std::string BashCompletion(const CLI::App& app) {
  std::string names, cases;
  for (const CLI::App* command : Commands(app)) {
    absl::StrAppend(&names, names.empty() ? "" : " ", command->get_name());
    std::vector<std::string> flags;
    for (const CLI::Option* flag : Flags(*command)) {
      const std::vector<std::string> all = Names(*flag);
      flags.insert(flags.end(), all.begin(), all.end());
    }
    absl::StrAppend(&cases, "    ", command->get_name(), ") flags='", absl::StrJoin(flags, " "),
                    "' ;;\n");
  }
  return absl::StrCat(R"(# bash completion for sandpiper
_sandpiper() {
  local word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} flags=
  COMPREPLY=()
  if [ "$COMP_CWORD" = 1 ]; then
    mapfile -t COMPREPLY < <(compgen -W ')",
                      names, R"(' -- "$word")
    return
  fi
  case $command in
)",
                      cases, R"(  esac
  case $word in
    -*) mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$word") ;;
    *) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
  esac
}
complete -F _sandpiper sandpiper
)");
}

std::string ZshCompletion(const CLI::App& app) {
  const auto describe = [](const std::string& text) {
    return Quoted(absl::StrReplaceAll(text, {{"[", "("}, {"]", ")"}, {":", "\\:"}}));
  };
  std::string commands, cases;
  for (const CLI::App* command : Commands(app)) {
    absl::StrAppend(&commands, "    '", command->get_name(), ":",
                    describe(command->get_description()), "'\n");
    absl::StrAppend(&cases, "    ", command->get_name(), ")\n      _arguments \\\n");
    for (const CLI::Option* flag : Flags(*command)) {
      for (const std::string& name : Names(*flag))
        absl::StrAppend(&cases, "        '*", name, "[", describe(flag->get_description()), "]",
                        TakesValue(*flag) ? ":value:_files" : "", "' \\\n");
    }
    absl::StrAppend(&cases, "        '*:file:_files' ;;\n");
  }
  return absl::StrCat(
      "#compdef sandpiper\n_sandpiper() {\n  local -a commands=(\n", commands,
      "  )\n  if (( CURRENT == 2 )); then\n    _describe command commands\n    return\n  fi\n"
      "  local command=$words[2]\n  shift words\n  (( CURRENT-- ))\n  case $command in\n",
      cases, "  esac\n}\n_sandpiper \"$@\"\n");
}

std::string FishCompletion(const CLI::App& app) {
  std::string out = "# fish completion for sandpiper\n";
  for (const CLI::App* command : Commands(app)) {
    absl::StrAppend(&out, "complete -c sandpiper -n __fish_use_subcommand -f -a ",
                    command->get_name(), " -d '", Quoted(command->get_description()), "'\n");
    for (const CLI::Option* flag : Flags(*command)) {
      absl::StrAppend(&out, "complete -c sandpiper -n '__fish_seen_subcommand_from ",
                      command->get_name(), "'");
      for (const std::string& name : flag->get_snames())
        absl::StrAppend(&out, " -s ", name);
      for (const std::string& name : flag->get_lnames())
        absl::StrAppend(&out, " -l ", name);
      absl::StrAppend(&out, TakesValue(*flag) ? " -r" : "", " -d '",
                      Quoted(flag->get_description()), "'\n");
    }
  }
  return out;
}

}  // namespace sandpiper
