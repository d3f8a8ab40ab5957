// SPDX-License-Identifier: Apache-2.0
// Reports network devices of one network namespace as they are added and removed (rtnetlink(7)).
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
  bool removed = false;
};

class LinkWatch {
 public:
  // Watches the network namespace of the calling thread, also if the thread leaves it afterwards.
  static absl::StatusOr<std::unique_ptr<LinkWatch>> Open();
  ~LinkWatch();
  LinkWatch(const LinkWatch&) = delete;
  LinkWatch& operator=(const LinkWatch&) = delete;

  // Readable when Drain has something to return.
  int fd() const;
  // All changes since the last call, without waiting. The first call returns every existing device.
  // Each change is reported once, also if the kernel lost messages and the list was read again.
  absl::StatusOr<std::vector<LinkChange>> Drain();

 private:
  explicit LinkWatch(mnl_socket* socket) : socket_(socket) {}
  absl::Status RequestAll();

  mnl_socket* socket_;
  std::set<unsigned> known_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_SANDBOX_LINK_WATCH_H_
