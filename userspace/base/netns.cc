// SPDX-License-Identifier: Apache-2.0
#include "userspace/base/netns.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "userspace/base/status.h"

namespace sandpiper {

uint32_t NamespaceInode(const UniqueFd& fd) {
  struct stat info = {};
  return fd.ok() && fstat(fd.get(), &info) == 0 ? static_cast<uint32_t>(info.st_ino) : 0;
}

absl::Status RunInNamespace(const UniqueFd& netns, const std::function<absl::Status()>& work) {
  const UniqueFd own(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!own.ok())
    return ErrnoStatus(errno, "cannot open sandpiper's own network namespace");
  if (setns(netns.get(), CLONE_NEWNET))
    return ErrnoStatus(errno, "cannot enter the network namespace");
  absl::Status status = work();
  if (setns(own.get(), CLONE_NEWNET)) {
    perror("sandpiper: cannot return to its own network namespace");
    abort();
  }
  return status;
}

}  // namespace sandpiper
