// SPDX-License-Identifier: Apache-2.0
// Reads protobuf responses of a CRI runtime with arbitrary bytes. The first byte selects the
// message.
#include <string>

#include "cri.pb.h"
#include "tests/fuzz/fuzz.h"
#include "userspace/runtime/cri_replies.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0)
    return 0;
  const void* message = data + 1;
  const int length = static_cast<int>(size - 1);
  runtime::v1::ListContainersResponse containers;
  runtime::v1::ListPodSandboxResponse pods;
  runtime::v1::ContainerEventResponse event;
  switch (data[0]) {
    case 'c':
      if (containers.ParseFromArray(message, length))
        sandpiper::ContainersOfLists(containers, {});
      break;
    case 'p':
      if (pods.ParseFromArray(message, length))
        sandpiper::ContainersOfLists({}, pods);
      break;
    case 'e':
      if (event.ParseFromArray(message, length))
        sandpiper::ContainersOfEvent(event);
      break;
    default:
      break;
  }
  return 0;
}
