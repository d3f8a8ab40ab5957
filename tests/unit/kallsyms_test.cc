// SPDX-License-Identifier: Apache-2.0
#include "userspace/probe/kallsyms.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

namespace sandpiper {
namespace {

std::string Write(const std::string& text) {
  const std::string path = ::testing::TempDir() + "kallsyms" + std::to_string(getpid());
  std::ofstream(path) << text;
  return path;
}

TEST(Kallsyms, FunctionEndsAtNextAddress) {
  const auto code = FindFunction(
      "wanted",
      Write("ffffffff81000300 T far\nffffffff81000100 t wanted\nffffffff81000100 t alias\n"
            "ffffffff81000180 T next\nffffffffc0000000 t wanted_too\t[module]\n"));
  ASSERT_TRUE(code.ok()) << code.status();
  EXPECT_EQ(code->begin, 0xffffffff81000100);
  EXPECT_EQ(code->end, 0xffffffff81000180);
}

TEST(Kallsyms, UnknownHiddenOrUnreadableFunctionIsError) {
  EXPECT_TRUE(
      absl::IsNotFound(FindFunction("wanted", Write("ffffffff81000100 t other\n")).status()));
  EXPECT_TRUE(
      absl::IsNotFound(FindFunction("wanted", Write("ffffffff81000100 t wanted\n")).status()));
  EXPECT_TRUE(absl::IsPermissionDenied(
      FindFunction("wanted", Write("0000000000000000 t wanted\n0000000000000000 t next\n"))
          .status()));
  EXPECT_FALSE(FindFunction("wanted", Write("garbage\n\nffff\n")).ok());
  EXPECT_FALSE(FindFunction("wanted", "/no/such/file").ok());
}

}  // namespace
}  // namespace sandpiper
