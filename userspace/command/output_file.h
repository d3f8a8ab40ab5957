// SPDX-License-Identifier: Apache-2.0
#ifndef SANDPIPER_USERSPACE_COMMAND_OUTPUT_FILE_H_
#define SANDPIPER_USERSPACE_COMMAND_OUTPUT_FILE_H_

#include <cstdio>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace sandpiper {

// A file that a command writes for its user only (see CreatePrivateFile), or stdout.
class OutputFile {
 public:
  // An empty path is stdout. `what` names the file in errors.
  static absl::StatusOr<OutputFile> Open(const std::string& path, const std::string& what);

  FILE* stream() const { return stream_; }
  // Writes the text and flushes it. Prints an error on stderr if that fails.
  void Write(const std::string& text) const;

 private:
  OutputFile() : file_(nullptr, fclose) {}

  std::string path_;
  std::unique_ptr<FILE, int (*)(FILE*)> file_;  // null: stdout
  FILE* stream_ = stdout;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_COMMAND_OUTPUT_FILE_H_
