// SPDX-License-Identifier: Apache-2.0
// Parses JSON of container runtimes and of OpenSandbox with arbitrary bytes. The first byte selects
// the parser.
#include <string>

#include "tests/fuzz/fuzz.h"
#include "userspace/ruleset/opensandbox_policy.h"
#include "userspace/runtime/engine_replies.h"
#include "userspace/runtime/oci_bundle.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0)
    return 0;
  const std::string_view json = sandpiper::testing::Text(data + 1, size - 1);
  switch (data[0]) {
    case 'v':
      sandpiper::EngineName(json).IgnoreError();
      break;
    case 'i':
      sandpiper::ContainerOfInspect(json).IgnoreError();
      break;
    case 'l':
      sandpiper::ContainersOfList(json).IgnoreError();
      break;
    case 'e':
      sandpiper::ContainerOfEvent(json);
      break;
    case 'b':
      sandpiper::ParseBundle("id", json);
      break;
    case 'p':
      sandpiper::ParseOpenSandboxPolicy(json).IgnoreError();
      break;
    default:
      break;
  }
  return 0;
}
