// SPDX-License-Identifier: Apache-2.0
// Updates the tables of settings in a document:
// bazel run //userspace/config:write_settings -- "$PWD/docs/configuration.md"
#include <cstdio>
#include <fstream>
#include <iterator>

#include "userspace/config/settings_markdown.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: write_settings FILE\n");
    return 2;
  }
  std::ifstream in(argv[1]);
  const std::string document = sandpiper::WithSettings({std::istreambuf_iterator<char>(in), {}});
  if (document.empty()) {
    fprintf(stderr, "write_settings: %s cannot be read, or has no marks around the tables\n",
            argv[1]);
    return 1;
  }
  std::ofstream out(argv[1]);
  out << document;
  return out.flush() ? 0 : 1;
}
