// Objects that are loaded later work on the maps of the first one.
#ifndef SANDPIPER_USERSPACE_PROBE_SHARED_MAPS_H_
#define SANDPIPER_USERSPACE_PROBE_SHARED_MAPS_H_

#include <bpf/libbpf.h>

#include <cerrno>

#include "userspace/base/status.h"

namespace sandpiper {

// Every map of `later`, opened and not yet loaded, that `first` has under the same name becomes that one. Constants stay its own.
inline absl::Status ShareMaps(const bpf_object* first, bpf_object* later) {
  bpf_map* map;
  bpf_object__for_each_map(map, later) {
    const bpf_map* shared = bpf_object__find_map_by_name(first, bpf_map__name(map));
    if (shared && !bpf_map__is_internal(map) && bpf_map__reuse_fd(map, bpf_map__fd(shared)))
      return ErrnoStatus(errno, absl::StrCat("sharing the map ", bpf_map__name(map)));
  }
  return absl::OkStatus();
}

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_PROBE_SHARED_MAPS_H_
