// SPDX-License-Identifier: Apache-2.0
// A BPF ring buffer, drained by one thread.
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
  // Called for each record; the bytes are valid during the call only.
  using Handler = std::function<void(std::span<const std::byte>)>;

  // `map_fd` stays the caller's and must outlive the ring.
  static absl::StatusOr<std::unique_ptr<Ring>> Open(int map_fd, Handler handler);
  ~Ring();
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  // Takes what is there, at most `budget` records. True: the ring was empty at the end. A producer
  // that is faster than the reader cannot keep it in here.
  bool Drain(size_t budget);

  // Readable when there may be records.
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
