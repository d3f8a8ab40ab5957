// SPDX-License-Identifier: Apache-2.0
#include "userspace/probe/ring.h"

#include <bpf/libbpf.h>

#include <cerrno>
#include <utility>

#include "userspace/base/status.h"

namespace sandpiper {

Ring::Ring(Handler handler) : handler_(std::move(handler)) {}

Ring::~Ring() { ring_buffer__free(ring_); }

absl::StatusOr<std::unique_ptr<Ring>> Ring::Open(int map_fd, Handler handler) {
  std::unique_ptr<Ring> ring(new Ring(std::move(handler)));
  ring->ring_ = ring_buffer__new(map_fd, OnRecord, ring.get(), nullptr);
  if (!ring->ring_)
    return ErrnoStatus(errno, "mapping a ring buffer");
  return ring;
}

// libbpf consumes the record even if this returns an error. The error only ends the drain.
int Ring::OnRecord(void* self, void* data, size_t size) {
  Ring* ring = static_cast<Ring*>(self);
  ring->handler_({static_cast<const std::byte*>(data), size});
  return --ring->left_ == 0 ? -ENOBUFS : 0;
}

bool Ring::Drain(size_t budget) {
  left_ = budget;
  return ring_buffer__consume(ring_) != -ENOBUFS;
}

int Ring::epoll_fd() const { return ring_buffer__epoll_fd(ring_); }

}  // namespace sandpiper
