// SPDX-License-Identifier: Apache-2.0
// Files with secrets: only their owner can read them, and nobody can redirect them.
#include "userspace/base/private_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace sandpiper {
namespace {

class PrivateFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  static mode_t ModeOf(const std::string& path) {
    struct stat info = {};
    return lstat(path.c_str(), &info) == 0 ? info.st_mode & 07777 : 0;
  }
  static std::string Content(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static void Put(const std::string& path, const std::string& text, mode_t mode) {
    std::ofstream(path) << text;
    ASSERT_EQ(chmod(path.c_str(), mode), 0);
  }

  const std::string folder_ = ::testing::TempDir() + "private-file";
};

TEST_F(PrivateFileTest, NewAndOldFilesGetTheModeOfTheirOwner) {
  const mode_t before = umask(0);
  EXPECT_TRUE(CreatePrivateFile(Path("new"), "the file").ok());
  umask(before);
  EXPECT_EQ(ModeOf(Path("new")), 0600u);
  for (const mode_t mode : {0644u, 0666u, 0600u, 0640u}) {
    Put(Path("old"), "before", mode);
    const auto file = CreatePrivateFile(Path("old"), "the file");
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ(ModeOf(Path("old")), 0600u);
    ASSERT_EQ(write(file->get(), "x", 1), 1);
    EXPECT_EQ(Content(Path("old")), "x");
  }
}

TEST_F(PrivateFileTest, OpenKeepsTheContent) {
  Put(Path("old"), "before", 0644);
  EXPECT_TRUE(OpenPrivateFile(Path("old"), "the file").ok());
  EXPECT_EQ(Content(Path("old")), "before");
  EXPECT_EQ(ModeOf(Path("old")), 0600u);
}

TEST_F(PrivateFileTest, LinksAreNotFollowed) {
  Put(Path("precious"), "data", 0644);
  std::filesystem::create_symlink(Path("precious"), Path("link"));
  std::filesystem::create_symlink(Path("nothing"), Path("dangling"));
  std::filesystem::create_hard_link(Path("precious"), Path("name"));
  for (const char* name : {"link", "dangling", "name", "precious"}) {
    const auto file = CreatePrivateFile(Path(name), "the report");
    ASSERT_FALSE(file.ok()) << name;
    const std::string message(file.status().message());
    EXPECT_EQ(message.find("the report " + Path(name) + ": "), 0u) << message;
  }
  EXPECT_EQ(Content(Path("precious")), "data");
  EXPECT_EQ(ModeOf(Path("precious")), 0644u);
  EXPECT_FALSE(std::filesystem::exists(Path("nothing")));
}

TEST_F(PrivateFileTest, DevicesKeepTheirMode) {
  const mode_t before = ModeOf("/dev/null");
  EXPECT_TRUE(CreatePrivateFile("/dev/null", "the file").ok());
  EXPECT_EQ(ModeOf("/dev/null"), before);
}

TEST_F(PrivateFileTest, PathsOfDescriptorsAreDescriptors) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd reader(ends[0]), writer(ends[1]);
  const auto file = CreatePrivateFile("/dev/fd/" + std::to_string(writer.get()), "the file");
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ(write(file->get(), "x", 1), 1);
  char byte = 0;
  EXPECT_EQ(read(reader.get(), &byte, 1), 1);
  EXPECT_EQ(byte, 'x');
  EXPECT_TRUE(CreatePrivateFile("/dev/stderr", "the file").ok());
  EXPECT_FALSE(CreatePrivateFile("/dev/fd/999", "the file").ok());
}

TEST_F(PrivateFileTest, MissingFolderAndFolderAreErrors) {
  const auto missing = CreatePrivateFile(Path("no/such"), "the report");
  EXPECT_NE(missing.status().message().find("opening the report " + Path("no/such")),
            std::string::npos)
      << missing.status();
  EXPECT_FALSE(CreatePrivateFile(folder_, "the report").ok());
}

}  // namespace
}  // namespace sandpiper
