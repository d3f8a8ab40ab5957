// SPDX-License-Identifier: Apache-2.0
// Network devices of one network namespace, as they come and go (rtnetlink(7)).
#ifndef SANDPIPER_USERSPACE_SANDBOX_LINK_WATCH_H_
#define SANDPIPER_USERSPACE_SANDBOX_LINK_WATCH_H_

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

struct mnl_socket;

namespace sandpiper {

struct LinkChange {
  unsigned ifindex = 0;
  std::string name;
  bool gone = false;
};

class LinkWatch {
 public:
  // Of the calling thread's network namespace, wherever the thread goes afterwards.
  static absl::StatusOr<std::unique_ptr<LinkWatch>> Open();
  ~LinkWatch();
  LinkWatch(const LinkWatch&) = delete;
  LinkWatch& operator=(const LinkWatch&) = delete;

  // Readable when Take has something.
  int fd() const;
  // What came and went since the last call; all that is there at the first. A device is told of
  // once, also where the kernel lost messages.
  absl::StatusOr<std::vector<LinkChange>> Take();

 private:
  explicit LinkWatch(mnl_socket* socket) : socket_(socket) {}
  absl::Status AskForAll();

  mnl_socket* socket_;
  std::set<unsigned> known_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_SANDBOX_LINK_WATCH_H_
