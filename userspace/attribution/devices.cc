// SPDX-License-Identifier: Apache-2.0
#include "userspace/attribution/devices.h"

#include <fcntl.h>
#include <fnmatch.h>

#include <cerrno>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "userspace/base/fd.h"
#include "userspace/base/netns.h"
#include "userspace/base/status.h"

namespace sandpiper {

absl::StatusOr<NamespaceLinks> OpenNamespaceLinks(const std::string& path) {
  const std::string file = path.empty() ? "/proc/self/ns/net" : path;
  const auto netns = std::make_shared<UniqueFd>(open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!netns->ok())
    return ErrnoStatus(errno, absl::StrCat("opening the network namespace ", file));
  std::shared_ptr<LinkWatch> links;
  RETURN_IF_ERROR(RunInNamespace(*netns, [&] {
    auto opened = LinkWatch::Open();
    if (opened.ok())
      links = *std::move(opened);
    return opened.status();
  }));
  return NamespaceLinks{.changes = [links] { return links->Drain(); },
                        .run_inside =
                            [netns](const std::function<void()>& work) {
                              return RunInNamespace(*netns, [&] {
                                work();
                                return absl::OkStatus();
                              });
                            },
                        .fd = links->fd()};
}

absl::Status Devices::Watch(const Device& device) {
  ASSIGN_OR_RETURN(NamespaceLinks links, open_links_(device.netns));
  watched_.push_back({.device = device, .links = std::move(links), .numbers = {}});
  Poll(&watched_.back());
  return absl::OkStatus();
}

void Devices::Poll(Watched* watched) {
  const auto changes = watched->links.changes();
  if (!changes.ok()) {
    warn_(std::string(changes.status().message()));
    return;
  }
  for (const LinkChange& link : *changes) {
    if (!link.removed) {
      Add(watched, link);
      continue;
    }
    if (const auto known = watched->numbers.find(link.ifindex); known != watched->numbers.end()) {
      on_removed_(known->second);
      watched->numbers.erase(known);
    }
  }
}

void Devices::Add(Watched* watched, const LinkChange& link) {
  const Device& device = watched->device;
  if (fnmatch(device.name.c_str(), link.name.c_str(), 0) != 0)
    return;
  uint64_t number = 0;
  const absl::Status status = watched->links.run_inside(
      [&] { number = on_added_(device.id.empty() ? CleanId(link.name) : device.id, link); });
  if (!status.ok())
    warn_(std::string(status.message()));
  if (number != 0)
    watched->numbers[link.ifindex] = number;
}

void Devices::Poll() {
  for (Watched& watched : watched_)
    Poll(&watched);
}

std::vector<int> Devices::event_fds() const {
  std::vector<int> fds;
  for (const Watched& watched : watched_)
    fds.push_back(watched.links.fd);
  return fds;
}

}  // namespace sandpiper
