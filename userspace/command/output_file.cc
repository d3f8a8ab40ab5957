// SPDX-License-Identifier: Apache-2.0
#include "userspace/command/output_file.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "userspace/base/private_file.h"
#include "userspace/base/status.h"

namespace sandpiper {

absl::StatusOr<OutputFile> OutputFile::Open(const std::string& path, const std::string& what) {
  OutputFile out;
  if (path.empty())
    return out;
  ASSIGN_OR_RETURN(UniqueFd fd, CreatePrivateFile(path, what));
  out.path_ = path;
  out.file_.reset(fdopen(fd.get(), "w"));
  if (!out.file_)
    return ErrnoStatus(errno, path);
  fd.release();
  out.stream_ = out.file_.get();
  return out;
}

void OutputFile::Write(const std::string& text) const {
  if (fwrite(text.data(), 1, text.size(), stream_) != text.size() || fflush(stream_) != 0)
    fprintf(stderr, "sandpiper: cannot write %s: %s\n", path_.empty() ? "stdout" : path_.c_str(),
            strerror(errno));
}

}  // namespace sandpiper
