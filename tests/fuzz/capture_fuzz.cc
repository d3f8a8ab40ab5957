// SPDX-License-Identifier: Apache-2.0
// A capture of which any byte may be wrong: told as far as it can be read, or refused.
#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "tests/fuzz/fuzz.h"
#include "userspace/base/clock.h"
#include "userspace/capture/replay.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using sandpiper::testing::Require;
  static const int file = memfd_create("capture", MFD_CLOEXEC);
  Require(ftruncate(file, 0) == 0 && pwrite(file, data, size, 0) == static_cast<ssize_t>(size),
          "there is room for it");
  size_t records = 0;
  const auto summary = sandpiper::ReplayCapture(
      absl::StrCat("/proc/self/fd/", file), {.session = {}, .window_ns = 60 * sandpiper::kSecond},
      [&](const sandpiper::LogRecord&) { ++records; });
  // Nobody tells more than was written: a record or two for each event, and those of a sandbox's
  // begin and end.
  Require(!summary.ok() || records <= 16 * size + 64, "records come from events");
  return 0;
}
