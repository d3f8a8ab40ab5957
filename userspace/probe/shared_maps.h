// SPDX-License-Identifier: Apache-2.0
// Maps that several objects work on.
#ifndef SANDPIPER_USERSPACE_PROBE_SHARED_MAPS_H_
#define SANDPIPER_USERSPACE_PROBE_SHARED_MAPS_H_

#include "absl/status/status.h"

struct bpf_object;

namespace sandpiper {

// Makes the maps of `object`, opened and not yet loaded, all but its constants: others can then be
// loaded beside it, and need not wait until its programs are verified. An errno, or 0.
int CreateMaps(bpf_object* object);

// Every map of `later`, opened and not yet loaded, that `first` has under the same name becomes
// that one. Constants stay its own.
absl::Status ShareMaps(const bpf_object* first, bpf_object* later);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_PROBE_SHARED_MAPS_H_
