// SPDX-License-Identifier: Apache-2.0
// What each target has: one function that takes any bytes, and stops the process where something is
// wrong.
#ifndef SANDPIPER_TESTS_FUZZ_FUZZ_H_
#define SANDPIPER_TESTS_FUZZ_FUZZ_H_

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

// https://llvm.org/docs/LibFuzzer.html; replay.cc calls it without libFuzzer.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace sandpiper::testing {

inline std::string_view Text(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

inline void Require(bool holds, const char* what) {
  if (holds)
    return;
  fprintf(stderr, "does not hold: %s\n", what);
  abort();
}

}  // namespace sandpiper::testing

#endif  // SANDPIPER_TESTS_FUZZ_FUZZ_H_
