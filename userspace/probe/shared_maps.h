// SPDX-License-Identifier: Apache-2.0
// Maps that several BPF objects share.
#ifndef SANDPIPER_USERSPACE_PROBE_SHARED_MAPS_H_
#define SANDPIPER_USERSPACE_PROBE_SHARED_MAPS_H_

#include "absl/status/status.h"

struct bpf_object;

namespace sandpiper {

// Creates the maps of `object`, which is opened and not loaded yet. Other objects with these maps
// can then be loaded in parallel, and need not wait until its programs are verified. Its constants
// are not created. Returns an errno, or 0.
int CreateMaps(bpf_object* object);

// Lets `later`, which is opened and not loaded yet, use the maps of `first` with the same names. It
// keeps its own constants.
absl::Status ShareMaps(const bpf_object* first, bpf_object* later);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_PROBE_SHARED_MAPS_H_
