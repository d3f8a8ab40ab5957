// SPDX-License-Identifier: Apache-2.0
#include "userspace/privilege/capabilities.h"

#include <cap-ng.h>

#include <cerrno>
#include <thread>

#include "userspace/base/status.h"

namespace sandpiper {

absl::Status KeepCapabilities(const Capabilities& kept) {
  if (capng_get_caps_process())
    return absl::InternalError("cannot read the capabilities of this thread");
  Capabilities held;
  for (const int capability : kept) {
    if (capng_have_capability(CAPNG_PERMITTED, static_cast<unsigned>(capability)))
      held.insert(capability);
  }
  capng_clear(CAPNG_SELECT_CAPS);
  for (const int capability : held)
    capng_update(CAPNG_ADD, static_cast<capng_type_t>(CAPNG_EFFECTIVE | CAPNG_PERMITTED),
                 static_cast<unsigned>(capability));
  if (capng_apply(CAPNG_SELECT_CAPS))
    return ErrnoStatus(errno, "dropping capabilities");
  return absl::OkStatus();
}

absl::Status RunWithoutCapabilities(const std::function<void()>& work) {
  absl::Status status;
  std::thread([&] {
    status = KeepCapabilities({});
    if (status.ok())
      work();
  }).join();
  return status;
}

}  // namespace sandpiper
