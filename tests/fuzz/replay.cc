// SPDX-License-Identifier: Apache-2.0
// TARGET FOLDER: gives the target every file of its corpus, and each of them cut short and with
// single bits turned. For where there is no libFuzzer.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/fuzz/fuzz.h"

namespace {

void Give(const std::string& input) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

// Of long inputs, so many places.
constexpr size_t kPlacesMax = 256;

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2)
    return 2;
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
    std::ifstream file(entry.path(), std::ios::binary);
    const std::string input{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    Give(input);
    ++files;
    const size_t step = input.size() / kPlacesMax + 1;
    for (size_t at = 0; at < input.size(); at += step) {
      Give(input.substr(0, at));
      std::string turned = input;
      turned[at] = static_cast<char>(turned[at] ^ (1 << (at % 8)));
      Give(turned);
    }
  }
  printf("%zu inputs\n", files);
  return files > 0 ? 0 : 1;
}
