// SPDX-License-Identifier: Apache-2.0
#ifndef SANDPIPER_USERSPACE_CAPTURE_CAPTURE_FORMAT_H_
#define SANDPIPER_USERSPACE_CAPTURE_CAPTURE_FORMAT_H_

#include <cstdint>

namespace sandpiper {

// The version of proto/capture.proto and of the records of bpf/events.h in it. Increase it with
// each change of either that an older reader would misread.
constexpr uint32_t kCaptureFormat = 2;

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CAPTURE_CAPTURE_FORMAT_H_
