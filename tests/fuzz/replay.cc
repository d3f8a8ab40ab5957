// SPDX-License-Identifier: Apache-2.0
// TARGET FOLDER: runs the target without libFuzzer. Its inputs are the files of its corpus,
// prefixes of them, and copies with one flipped bit.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/fuzz/fuzz.h"

namespace {

void Run(const std::string& input) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

// Positions in each file at which it is cut and changed.
constexpr size_t kPositionsMax = 256;

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2)
    return 2;
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
    std::ifstream file(entry.path(), std::ios::binary);
    const std::string input{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    Run(input);
    ++files;
    const size_t step = input.size() / kPositionsMax + 1;
    for (size_t at = 0; at < input.size(); at += step) {
      Run(input.substr(0, at));
      std::string flipped = input;
      flipped[at] = static_cast<char>(flipped[at] ^ (1 << (at % 8)));
      Run(flipped);
    }
  }
  printf("%zu inputs\n", files);
  return files > 0 ? 0 : 1;
}
