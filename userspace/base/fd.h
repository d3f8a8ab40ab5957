// SPDX-License-Identifier: Apache-2.0
// A file descriptor with one owner, which closes it.
#ifndef SANDPIPER_USERSPACE_BASE_FD_H_
#define SANDPIPER_USERSPACE_BASE_FD_H_

#include <unistd.h>

#include <utility>

namespace sandpiper {

class UniqueFd final {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~UniqueFd() { reset(); }

  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1) {
    if (fd_ >= 0)
      close(fd_);
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_BASE_FD_H_
