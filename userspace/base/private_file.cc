// SPDX-License-Identifier: Apache-2.0
#include "userspace/base/private_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <string_view>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "userspace/base/status.h"
#include "userspace/base/text.h"

namespace sandpiper {
namespace {

constexpr mode_t kOwnerOnly = S_IRUSR | S_IWUSR;

// The descriptor of this process that the path names. These paths are links to the real file.
std::optional<int> DescriptorOf(absl::string_view path) {
  if (path == "/dev/stdout")
    return STDOUT_FILENO;
  if (path == "/dev/stderr")
    return STDERR_FILENO;
  int fd = -1;
  if ((absl::ConsumePrefix(&path, "/dev/fd/") || absl::ConsumePrefix(&path, "/proc/self/fd/")) &&
      absl::SimpleAtoi(path, &fd))
    return fd;
  return std::nullopt;
}

absl::Status Problem(const std::string& what, const std::string& path, const char* problem) {
  return absl::FailedPreconditionError(absl::StrCat(what, " ", Escape(path), ": ", problem));
}

// Gives a regular file its mode.
absl::Status MakePrivate(const UniqueFd& file, const struct stat& info, const std::string& path,
                         const std::string& what) {
  if (info.st_nlink > 1)
    return Problem(what, path, "the file has other names (hard links) and is not overwritten");
  if ((info.st_mode & 0777) != kOwnerOnly && fchmod(file.get(), kOwnerOnly) != 0)
    return ErrnoStatus(errno, absl::StrCat(what, " ", Escape(path), ": changing its mode to 0600"));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<UniqueFd> OpenPrivateFile(const std::string& path, const std::string& what) {
  if (const std::optional<int> own = DescriptorOf(path)) {
    UniqueFd copy(fcntl(*own, F_DUPFD_CLOEXEC, 0));
    if (!copy.ok())
      return ErrnoStatus(errno, absl::StrCat(what, " ", Escape(path)));
    return copy;
  }
  UniqueFd file(
      open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, kOwnerOnly));
  if (!file.ok() && errno == ELOOP)
    return Problem(what, path, "is a symbolic link, which is not followed; give the real path");
  if (!file.ok())
    return ErrnoStatus(errno, absl::StrCat("opening ", what, " ", Escape(path)));
  struct stat info = {};
  if (fstat(file.get(), &info) != 0)
    return ErrnoStatus(errno, absl::StrCat(what, " ", Escape(path)));
  if (S_ISREG(info.st_mode))
    RETURN_IF_ERROR(MakePrivate(file, info, path, what));
  return file;
}

absl::StatusOr<UniqueFd> CreatePrivateFile(const std::string& path, const std::string& what) {
  ASSIGN_OR_RETURN(UniqueFd file, OpenPrivateFile(path, what));
  struct stat info = {};
  if (!DescriptorOf(path) && fstat(file.get(), &info) == 0 && S_ISREG(info.st_mode) &&
      ftruncate(file.get(), 0) != 0)
    return ErrnoStatus(errno, absl::StrCat("truncating ", what, " ", Escape(path)));
  return file;
}

}  // namespace sandpiper
