// SPDX-License-Identifier: Apache-2.0
#ifndef SANDPIPER_USERSPACE_ATTRIBUTION_DEVICES_H_
#define SANDPIPER_USERSPACE_ATTRIBUTION_DEVICES_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "userspace/base/diagnostics.h"
#include "userspace/sandbox/cgroup_arguments.h"
#include "userspace/sandbox/link_watch.h"

namespace sandpiper {

// The devices of one network namespace. A struct of functions, so that tests need no namespace.
struct NamespaceLinks {
  // The devices that were added or removed since the last call; all devices at the first call.
  std::function<absl::StatusOr<std::vector<LinkChange>>()> changes;
  // Runs `work` with the calling thread in the namespace.
  std::function<absl::Status(const std::function<void()>& work)> run_inside;
  int fd = -1;  // readable when `changes` returns something
};

// Opens the network namespace that the file `path` names; empty: the one of this process.
absl::StatusOr<NamespaceLinks> OpenNamespaceLinks(const std::string& path);

// Follows the network devices that the user named, in any network namespace.
//
// Owned by Pipeline. All calls are made by the thread of the event loop.
class Devices {
 public:
  // A device appeared; called with the thread in its network namespace. Returns a number for
  // OnRemoved, or 0 if the device cannot be watched.
  using OnAdded = std::function<uint64_t(const std::string& sandbox_id, const LinkChange& link)>;
  using OnRemoved = std::function<void(uint64_t number)>;
  using OpenLinks = std::function<absl::StatusOr<NamespaceLinks>(const std::string& path)>;

  Devices(OnAdded on_added, OnRemoved on_removed, WarningSink warn,
          OpenLinks open_links = OpenNamespaceLinks)
      : on_added_(std::move(on_added)),
        on_removed_(std::move(on_removed)),
        warn_(std::move(warn)),
        open_links_(std::move(open_links)) {}

  // Calls OnAdded for each device that matches, now and later. Returns an error if the network
  // namespace cannot be entered.
  absl::Status Watch(const Device& device);
  // Reads which devices were added or removed.
  void Poll();
  // Each is readable when Poll has something to read.
  std::vector<int> event_fds() const;

 private:
  struct Watched {
    Device device;
    NamespaceLinks links;
    std::map<unsigned, uint64_t> numbers;  // of the devices that exist, by index
  };
  void Poll(Watched* watched);
  void Add(Watched* watched, const LinkChange& link);

  OnAdded on_added_;
  OnRemoved on_removed_;
  WarningSink warn_;
  OpenLinks open_links_;
  std::vector<Watched> watched_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_ATTRIBUTION_DEVICES_H_
