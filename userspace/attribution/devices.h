// SPDX-License-Identifier: Apache-2.0
// Network devices that were asked for, as they come and go.
#ifndef SANDPIPER_USERSPACE_ATTRIBUTION_DEVICES_H_
#define SANDPIPER_USERSPACE_ATTRIBUTION_DEVICES_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "userspace/base/fd.h"
#include "userspace/sandbox/cgroup_arguments.h"
#include "userspace/sandbox/link_watch.h"

namespace sandpiper {

class Devices {
 public:
  // One is there; called with the thread in its network namespace. Returns a number to call Gone
  // with, 0 if it cannot be watched.
  using Came = std::function<uint64_t(const std::string& id, const LinkChange& link)>;
  using Gone = std::function<void(uint64_t number)>;
  using Tell = std::function<void(const std::string& problem)>;

  Devices(Came came, Gone gone, Tell tell)
      : came_(std::move(came)), gone_(std::move(gone)), tell_(std::move(tell)) {}

  // NotFound, PermissionDenied and so on where its network namespace cannot be entered.
  absl::Status Watch(const Device& device);
  // Takes what came and went.
  void Work();
  // Each readable when there is something.
  std::vector<int> event_fds() const;

 private:
  struct Watched {
    Device device;
    UniqueFd netns;
    std::unique_ptr<LinkWatch> links;
    std::map<unsigned, uint64_t> there;  // by index
  };
  void Work(Watched* watched);

  Came came_;
  Gone gone_;
  Tell tell_;
  std::vector<std::unique_ptr<Watched>> watched_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_ATTRIBUTION_DEVICES_H_
