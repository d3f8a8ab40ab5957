// SPDX-License-Identifier: Apache-2.0
#include "userspace/attribution/devices.h"

#include <fcntl.h>
#include <fnmatch.h>

#include <cerrno>
#include <utility>

#include "userspace/base/netns.h"
#include "userspace/base/status.h"

namespace sandpiper {

absl::Status Devices::Watch(const Device& device) {
  const std::string path = device.netns.empty() ? "/proc/self/ns/net" : device.netns;
  auto watched = std::make_unique<Watched>();
  watched->device = device;
  watched->netns = UniqueFd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!watched->netns.ok())
    return ErrnoStatus(errno, absl::StrCat("opening the network namespace ", path));
  RETURN_IF_ERROR(RunInNamespace(watched->netns, [&] {
    auto links = LinkWatch::Open();
    if (links.ok())
      watched->links = *std::move(links);
    return links.status();
  }));
  watched_.push_back(std::move(watched));
  Work(watched_.back().get());
  return absl::OkStatus();
}

void Devices::Work(Watched* watched) {
  const auto changes = watched->links->Drain();
  if (!changes.ok()) {
    tell_(std::string(changes.status().message()));
    return;
  }
  for (const LinkChange& link : *changes) {
    if (link.removed) {
      if (const auto known = watched->there.find(link.ifindex); known != watched->there.end()) {
        gone_(known->second);
        watched->there.erase(known);
      }
      continue;
    }
    if (fnmatch(watched->device.name.c_str(), link.name.c_str(), 0) != 0)
      continue;
    uint64_t number = 0;
    const absl::Status entered = RunInNamespace(watched->netns, [&] {
      number = came_(watched->device.id.empty() ? CleanId(link.name) : watched->device.id, link);
      return absl::OkStatus();
    });
    if (!entered.ok())
      tell_(std::string(entered.message()));
    if (number != 0)
      watched->there[link.ifindex] = number;
  }
}

void Devices::Work() {
  for (const auto& watched : watched_)
    Work(watched.get());
}

std::vector<int> Devices::event_fds() const {
  std::vector<int> fds;
  for (const auto& watched : watched_)
    fds.push_back(watched->links->fd());
  return fds;
}

}  // namespace sandpiper
