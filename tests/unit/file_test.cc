// SPDX-License-Identifier: Apache-2.0
#include "userspace/base/file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "userspace/sandbox/proc.h"

namespace sandpiper {
namespace {

namespace fs = std::filesystem;

class FileTest : public ::testing::Test {
 protected:
  FileTest() : folder_(::testing::TempDir() + "file" + std::to_string(getpid())) {
    fs::create_directories(folder_);
  }
  ~FileTest() override { fs::remove_all(folder_); }

  std::string folder_;
};

TEST_F(FileTest, ReadFileReturnsTheWholeFile) {
  const std::string text = std::string(10'000, 'x') + std::string("\0\n", 2);
  std::ofstream(folder_ + "/text", std::ios::binary) << text;
  EXPECT_EQ(ReadFile(folder_ + "/text"), text);
  std::ofstream(folder_ + "/empty").close();
  EXPECT_EQ(ReadFile(folder_ + "/empty"), "");
  EXPECT_EQ(ReadFile(folder_ + "/none"), std::nullopt);
}

// A folder can be opened but not read. A file in /proc is like that once its process has exited.
TEST_F(FileTest, ReadFileOfUnreadableFileReturnsNothing) {
  EXPECT_EQ(ReadFile(folder_), std::nullopt);
  for (const char* file : {"stat", "cmdline"})
    fs::create_directories(folder_ + "/7/" + file);
  EXPECT_EQ(ReadProcess(7, folder_), std::nullopt);
  fs::remove(folder_ + "/7/stat");
  std::ofstream(folder_ + "/7/stat") << "7 (x) S 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 100 0 0";
  const auto process = ReadProcess(7, folder_);
  ASSERT_TRUE(process);
  EXPECT_TRUE(process->args.empty());
}

}  // namespace
}  // namespace sandpiper
