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
sandpiper \- record DNS lookups, connections, processes and nftables changes of sandboxes
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
sandpiper watches sandboxes (containers, pods, systemd units, any cgroup) from the host kernel with
eBPF, without changing them. It records every DNS lookup, connection, process and nftables change of
a sandbox, the attempts that its policy denied, and any event that was lost. Records and metrics go
to stdout and to an OTLP endpoint, if one is configured.
.PP
.B exec
runs one command as a sandbox and prints a report.
.B run
is the collector. The other commands query the running collector, or inspect the host.
)";

constexpr char kManTail[] = R"(.SH ENVIRONMENT
The description of a flag names its environment variable after env:. A flag overrides its variable,
and a variable overrides the configuration file.
.PP
The variables of OpenTelemetry
.RB ( OTEL_EXPORTER_OTLP_ENDPOINT
and others) configure where logs and metrics are sent. Without them nothing is sent.
.B OPENSANDBOX_EGRESS_SANDBOX_ID
is the id of the only sandbox.
.B OPENSANDBOX_EGRESS_METRICS_EXTRA_ATTRS
adds attributes to all records and metrics.
.SH FILES
.TP
.I /etc/sandpiper/sandpiper.yaml
configuration of the service, YAML; each flag of
.B run
is a key, with _ for \-
.TP
.I /etc/default/sandpiper
environment variables of the service
.TP
.I /run/sandpiper/sandpiper.sock
socket of the running collector
.TP
.I /var/lib/sandpiper/spool.db
records that the OTLP endpoint has not accepted yet
.SH SIGNALS
.TP
.B SIGTERM, SIGINT
.B run
sends the remaining records, keeps unsent ones on disk, and exits with status 0. The second signal
to
.B exec
kills all processes of its sandbox.
.TP
.B SIGHUP
.B run
reads its configuration again. If that fails, it keeps the old configuration and prints the reason.
.SH EXIT STATUS
.B exec
exits with the status of its command, or with 128 plus the number of the signal that ended it. The
status is 127 if the command was not found, 126 if it could not be run, and 125 if sandpiper failed.
The other commands exit with 0, with 1 after a failure, and with 2 for an invalid command line or
configuration.
)";

// The commands that users see.
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

// All names of a flag: "-f", "--follow".
std::vector<std::string> Names(const CLI::Option& option) {
  std::vector<std::string> out;
  for (const std::string& name : option.get_snames())
    out.push_back("-" + name);
  for (const std::string& name : option.get_lnames())
    out.push_back("--" + name);
  return out;
}

// Escapes text for man(7).
std::string Roff(const std::string& text) {
  return absl::StrReplaceAll(text, {{"\\", "\\e"}, {"-", "\\-"}});
}

// Escapes text that stands between single quotes of a shell.
std::string Quoted(const std::string& text) { return absl::StrReplaceAll(text, {{"'", "'\\''"}}); }

}  // namespace

std::string ManPage(const CLI::App& app) {
  std::string out = absl::StrCat(".TH SANDPIPER 8 \"\" \"sandpiper ", kVersion,
                                 "\" \"System administration\"\n", kManHead, ".SH COMMANDS\n");
  for (const CLI::App* command : Commands(app)) {
    absl::StrAppend(&out, ".SS sandpiper ", Roff(command->get_name()), "\n",
                    Roff(command->get_description()), "\n");
    for (const CLI::Option* flag : Flags(*command)) {
      const std::string value = TakesValue(*flag) ? " " + flag->get_type_name() : "";
      absl::StrAppend(&out, ".TP\n.B ", Roff(absl::StrJoin(Names(*flag), ", ") + value), "\n",
                      Roff(flag->get_description()), "\n");
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
