// SPDX-License-Identifier: Apache-2.0
// Replays a capture with arbitrary bytes. The replay must stop with an error or read to its end.
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
          "the input is written to a file");
  size_t records = 0;
  const auto summary = sandpiper::ReplayCapture(
      absl::StrCat("/proc/self/fd/", file), {.session = {}, .window_ns = 60 * sandpiper::kSecond},
      [&](const sandpiper::LogRecord&) { ++records; });
  // Each event causes one or two records, and the start and the end of a sandbox cause a few.
  Require(!summary.ok() || records <= 16 * size + 64,
          "the number of records is bounded by the input");
  return 0;
}
