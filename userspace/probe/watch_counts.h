// SPDX-License-Identifier: Apache-2.0
// The counts by which the BPF programs skip unwatched cgroups and namespaces (struct watch in
// bpf/events.h). User space and BPF programs both update them, so updates are atomic.
#ifndef SANDPIPER_USERSPACE_PROBE_WATCH_COUNTS_H_
#define SANDPIPER_USERSPACE_PROBE_WATCH_COUNTS_H_

#include <bpf/bpf.h>
#include <sys/mman.h>

#include <atomic>
#include <cerrno>
#include <memory>

#include "absl/status/statusor.h"
#include "bpf/events.h"
#include "userspace/base/status.h"

namespace sandpiper {

class WatchCounts {
 public:
  WatchCounts() = default;

  // `map` is the fd of the map `watches`, which is mapped into memory.
  static absl::StatusOr<WatchCounts> Map(int map) {
    void* memory = mmap(nullptr, sizeof(watch), PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
    if (memory == MAP_FAILED)
      return ErrnoStatus(errno, "mapping the counts of what is watched");
    WatchCounts out;
    out.watch_.reset(static_cast<watch*>(memory));
    return out;
  }

  // Adds an entry to a map of watched cgroups (by id) or network namespaces (by inode number).
  // Replaces an existing entry unless `if_new`. Returns 0 or an errno.
  template <typename Key, typename Value>
  int Update(int table, Key id, const Value& value, bool if_new) {
    // Counted before the entry exists, so that a program never finds a count that is too low.
    Count(id).fetch_add(1);
    if (bpf_map_update_elem(table, &id, &value, BPF_NOEXIST) == 0)
      return 0;
    const int error = errno;
    Count(id).fetch_sub(1);
    if (error != EEXIST || if_new)
      return error;
    return bpf_map_update_elem(table, &id, &value, BPF_EXIST) == 0 ? 0 : errno;
  }

  template <typename Key>
  void Delete(int table, Key id) {
    if (bpf_map_delete_elem(table, &id) == 0)
      Count(id).fetch_sub(1);
  }

  // Makes the BPF programs record the namespaces of processes again.
  void NamespacesChanged() { std::atomic_ref(watch_->netns_changes).fetch_add(1); }

 private:
  struct Unmap {
    void operator()(watch* memory) const { munmap(memory, sizeof(watch)); }
  };

  std::atomic_ref<__u32> Count(uint64_t id) {
    return std::atomic_ref(watch_->counts[watch_slot(id)]);
  }

  std::unique_ptr<watch, Unmap> watch_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_PROBE_WATCH_COUNTS_H_
