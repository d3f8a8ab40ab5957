// SPDX-License-Identifier: Apache-2.0
// A BPF ring buffer and its reader. One thread calls it.
#ifndef SANDPIPER_USERSPACE_PROBE_RING_H_
#define SANDPIPER_USERSPACE_PROBE_RING_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <span>

#include "absl/status/statusor.h"

struct ring_buffer;

namespace sandpiper {

class Ring {
 public:
  // Called for each record. The bytes are valid only during the call.
  using Handler = std::function<void(std::span<const std::byte>)>;

  // The caller owns `map_fd`, which must outlive this object.
  static absl::StatusOr<std::unique_ptr<Ring>> Open(int map_fd, Handler handler);
  ~Ring();
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  // Reads at most `budget` records, so that a fast producer cannot keep the caller here. Returns
  // true if the ring is empty afterwards.
  bool Drain(size_t budget);

  // Becomes readable when a record is added to an empty ring.
  int epoll_fd() const;

 private:
  explicit Ring(Handler handler);
  static int OnRecord(void* self, void* data, size_t size);

  Handler handler_;
  ring_buffer* ring_ = nullptr;
  size_t left_ = 0;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_PROBE_RING_H_
