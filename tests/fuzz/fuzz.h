// SPDX-License-Identifier: Apache-2.0
// Each fuzz target defines one function. It accepts arbitrary bytes, and aborts the process if the
// code under test does something wrong.
#ifndef SANDPIPER_TESTS_FUZZ_FUZZ_H_
#define SANDPIPER_TESTS_FUZZ_FUZZ_H_

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

// libFuzzer (https://llvm.org/docs/LibFuzzer.html) calls it, or replay.cc.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace sandpiper::testing {

inline std::string_view Text(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

inline void Require(bool is_true, const char* condition) {
  if (is_true)
    return;
  fprintf(stderr, "not true: %s\n", condition);
  abort();
}

}  // namespace sandpiper::testing

#endif  // SANDPIPER_TESTS_FUZZ_FUZZ_H_
