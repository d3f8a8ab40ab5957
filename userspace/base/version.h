// SPDX-License-Identifier: Apache-2.0
#ifndef SANDPIPER_USERSPACE_BASE_VERSION_H_
#define SANDPIPER_USERSPACE_BASE_VERSION_H_

namespace sandpiper {

// The semantic version of sandpiper, also the service.version of the OpenTelemetry resource.
inline constexpr char kVersion[] = "0.1.0";

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_BASE_VERSION_H_
