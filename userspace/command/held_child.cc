// SPDX-License-Identifier: Apache-2.0
#include "userspace/command/held_child.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "userspace/base/status.h"
#include "userspace/command/commands.h"

namespace sandpiper {

absl::StatusOr<HeldChild> HeldChild::Fork(const std::vector<std::string>& command) {
  int start[2];
  int error_pipe[2];
  if (pipe2(start, O_CLOEXEC) || pipe2(error_pipe, O_CLOEXEC))
    return ErrnoStatus(errno, "pipe2");
  HeldChild child;
  child.start_ = UniqueFd(start[1]);
  child.error_ = UniqueFd(error_pipe[0]);
  const UniqueFd wait_fd(start[0]);
  const UniqueFd error_fd(error_pipe[1]);
  std::vector<char*> argv;
  for (const std::string& arg : command)
    argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  child.pid_ = fork();
  if (child.pid_ < 0)
    return ErrnoStatus(errno, "fork");
  if (child.pid_ > 0)
    return child;
  // Only the parent has the other end now, so that its exit is an end of file here.
  child.start_.reset();
  char byte;
  if (read(wait_fd.get(), &byte, 1) != 1)
    _exit(kExitExecFailure);  // the parent failed
  execvp(argv[0], argv.data());
  const int error = errno;
  [[maybe_unused]] const ssize_t written = write(error_fd.get(), &error, sizeof(error));
  _exit(error == ENOENT ? 127 : 126);
}

void HeldChild::Start() {
  [[maybe_unused]] const ssize_t written = write(start_.get(), "s", 1);
  start_.reset();
}

int HeldChild::WaitForExec() const {
  int error = 0;
  return read(error_.get(), &error, sizeof(error)) == sizeof(error) ? error : 0;
}

}  // namespace sandpiper
