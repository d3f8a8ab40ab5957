// SPDX-License-Identifier: Apache-2.0
// bazel run //userspace/export:write_catalog -- "$PWD/docs"
// Updates metrics.md, events.md and events.schema.json in that folder from the catalogues.
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

#include "userspace/export/catalog_markdown.h"
#include "userspace/export/event_schema.h"

namespace {

std::string Read(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

bool Write(const std::string& path, const std::string& document) {
  if (document.empty()) {
    fprintf(stderr, "write_catalog: cannot read \"%s\", or it lacks the marks around a table\n",
            path.c_str());
    return false;
  }
  std::ofstream out(path);
  out << document;
  if (out.flush())
    return true;
  fprintf(stderr, "write_catalog: cannot write \"%s\"\n", path.c_str());
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: write_catalog FOLDER\n");
    return 2;
  }
  const std::string folder = argv[1];
  const std::string metrics = folder + "/metrics.md";
  const std::string events = folder + "/events.md";
  const bool written = Write(metrics, sandpiper::WithMetricTable(Read(metrics))) &&
                       Write(events, sandpiper::WithEventTables(Read(events))) &&
                       Write(folder + "/events.schema.json", sandpiper::EventSchema());
  return written ? 0 : 1;
}
