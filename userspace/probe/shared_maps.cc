// SPDX-License-Identifier: Apache-2.0
#include "userspace/probe/shared_maps.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include <cerrno>
#include <memory>

#include "userspace/base/fd.h"
#include "userspace/base/status.h"

namespace sandpiper {
namespace {

using Btf = std::unique_ptr<btf, decltype(&btf__free)>;

// A copy of the object's types, for creating its maps. Socket storage needs types, and
// bpftool-map(8) shows fields with them. A copy, because the object loads its own types later and
// fails if they are loaded already. NULL, with errno, on failure.
Btf CopyTypes(const bpf_object* object) {
  uint32_t bytes = 0;
  const void* const raw = btf__raw_data(bpf_object__btf(object), &bytes);
  return Btf(raw ? btf__new(raw, bytes) : nullptr, btf__free);
}

}  // namespace

int CreateMaps(bpf_object* object) {
  const Btf types = CopyTypes(object);
  if (!types || btf__load_into_kernel(types.get()))
    return errno;
  bpf_map* map;
  bpf_object__for_each_map(map, object) {
    if (bpf_map__is_internal(map))
      continue;
    LIBBPF_OPTS(bpf_map_create_opts, options, .btf_fd = static_cast<__u32>(btf__fd(types.get())),
                .btf_key_type_id = bpf_map__btf_key_type_id(map),
                .btf_value_type_id = bpf_map__btf_value_type_id(map),
                .map_flags = bpf_map__map_flags(map));
    const UniqueFd made(bpf_map_create(bpf_map__type(map), bpf_map__name(map),
                                       bpf_map__key_size(map), bpf_map__value_size(map),
                                       bpf_map__max_entries(map), &options));
    if (!made.ok() || bpf_map__reuse_fd(map, made.get()))
      return errno;
  }
  return 0;
}

absl::Status ShareMaps(const bpf_object* first, bpf_object* later) {
  bpf_map* map;
  bpf_object__for_each_map(map, later) {
    const bpf_map* shared = bpf_object__find_map_by_name(first, bpf_map__name(map));
    if (shared && !bpf_map__is_internal(map) && bpf_map__reuse_fd(map, bpf_map__fd(shared)))
      return ErrnoStatus(errno, absl::StrCat("sharing the map ", bpf_map__name(map)));
  }
  return absl::OkStatus();
}

}  // namespace sandpiper
