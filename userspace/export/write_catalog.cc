// SPDX-License-Identifier: Apache-2.0
// bazel run //userspace/export:write_catalog -- "$PWD/docs/metrics.md": brings its table up to
// date.
#include <cstdio>
#include <fstream>
#include <iterator>

#include "userspace/export/catalog_markdown.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: write_catalog FILE\n");
    return 2;
  }
  std::ifstream in(argv[1]);
  const std::string document = sandpiper::WithCatalog({std::istreambuf_iterator<char>(in), {}});
  if (document.empty()) {
    fprintf(stderr, "write_catalog: %s cannot be read, or lacks the marks around the table\n",
            argv[1]);
    return 1;
  }
  std::ofstream out(argv[1]);
  out << document;
  return out.flush() ? 0 : 1;
}
