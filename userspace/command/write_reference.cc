// SPDX-License-Identifier: Apache-2.0
// write_reference man|bash|zsh|fish: prints the manual page or the completions of a shell.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>
#include <string>

#include "userspace/command/command_line.h"
#include "userspace/command/reference.h"

int main(int argc, char** argv) {
  using namespace sandpiper;
  static const std::map<std::string, std::string (*)(const CLI::App&)> kForms = {
      {"man", ManPage}, {"bash", BashCompletion}, {"zsh", ZshCompletion}, {"fish", FishCompletion}};
  const auto form = argc == 2 ? kForms.find(argv[1]) : kForms.end();
  if (form == kForms.end()) {
    fputs("usage: write_reference man|bash|zsh|fish\n", stderr);
    return 2;
  }
  CommandLine line;
  fputs(form->second(*MakeApp(&line)).c_str(), stdout);
  return 0;
}
