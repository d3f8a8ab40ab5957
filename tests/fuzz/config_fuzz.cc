// SPDX-License-Identifier: Apache-2.0
// Parses a configuration file with arbitrary bytes.
#include "tests/fuzz/fuzz.h"
#include "userspace/config/config_file.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  sandpiper::Config config;
  const absl::Status status =
      sandpiper::ReadConfigText("file", std::string(sandpiper::testing::Text(data, size)), &config);
  sandpiper::testing::Require(status.ok() || absl::IsInvalidArgument(status),
                              "each error is InvalidArgument");
  sandpiper::testing::Require(
      status.ok() || status.message().find(" in file:") != std::string_view::npos,
      "each error names the file and the line");
  return 0;
}
