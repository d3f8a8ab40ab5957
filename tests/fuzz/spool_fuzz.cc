// SPDX-License-Identifier: Apache-2.0
// Opens a spool file with arbitrary bytes.
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "tests/fuzz/fuzz.h"
#include "userspace/export/spool.h"

namespace {

// A folder of this process, which removes it at its end.
struct Folder {
  Folder()
      : path(absl::StrCat(std::filesystem::temp_directory_path().string(), "/spool-fuzz-",
                          getpid())) {
    std::filesystem::create_directories(path);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  const std::string path;
};

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using sandpiper::testing::Require;
  static const Folder folder;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path))
    std::filesystem::remove(entry.path());
  const std::string path = folder.path + "/spool.db";
  std::ofstream(path, std::ios::binary) << sandpiper::testing::Text(data, size);
  constexpr uint64_t kNow = 1'700'000'000'000'000'000;
  constexpr int kEntriesMax = 1'000;
  sandpiper::Spool spool({.path = path});
  Require(spool.Open().ok(), "Open succeeds for every file");
  for (int i = 0; i < kEntriesMax; ++i) {
    const auto entry = spool.Front(kNow);
    if (!entry)
      break;
    spool.Remove(entry->id);
  }
  Require(spool.Append({.bytes = "a request", .items = 1}, kNow).ok(),
          "Append succeeds after Open");
  return 0;
}
