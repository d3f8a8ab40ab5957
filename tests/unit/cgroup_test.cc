// SPDX-License-Identifier: Apache-2.0
// Tests mounts, paths and --cgroup on fake trees.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "userspace/sandbox/cgroup_arguments.h"
#include "userspace/sandbox/cgroup_fs.h"
#include "userspace/sandbox/proc.h"
#include "userspace/sandbox/resources.h"

namespace sandpiper {
namespace {

namespace fs = std::filesystem;

class Tree : public ::testing::Test {
 protected:
  Tree() : root_(::testing::TempDir() + "tree" + std::to_string(getpid())) {
    fs::create_directories(root_);
  }
  ~Tree() override { fs::remove_all(root_); }
  std::string Write(const std::string& name, const std::string& text) {
    fs::create_directories(fs::path(root_ + "/" + name).parent_path());
    std::ofstream(root_ + "/" + name, std::ios::binary) << text;
    return root_ + "/" + name;
  }
  std::string Make(const std::string& name) {
    fs::create_directories(root_ + "/" + name);
    return root_ + "/" + name;
  }

  std::string root_;
};

TEST_F(Tree, ReadsResourcesOnUnifiedAndHybridHosts) {
  const std::string v2 = Make("v2"), v1 = Make("v1"), box = Make("v2/pods/box"),
                    proc = Make("proc");
  Write("v2/cgroup.controllers", "cpu hugetlb\n");
  Write("v2/pods/box/cpu.stat", "usage_usec 3500000\nuser_usec 2000000\nsystem_usec 1500000\n");
  Write("v2/pods/box/cgroup.procs", "7\n8\n");
  Write("proc/self/mountinfo", "31 30 0:27 / " + v1 + " rw - cgroup cgroup rw,cpu,memory\n");
  Write("proc/7/cgroup", "4:cpu,memory:/pods/box\n0::/pods/box\n");
  for (const char* pid : {"7", "8"})
    Write(std::string("proc/") + pid + "/smaps_rollup",
          "55-56 ---p 0 0:0 0 [rollup]\nRss: 900 kB\nPss_Anon: 10 kB\nPss_File: 70 kB\nPss_Shmem: "
          "2 kB\n");

  // The v1 controller has no such cgroup: the memory of its processes is added up.
  const ResourceReader hybrid(v2, proc);
  EXPECT_EQ(hybrid.source(), MemorySource::kControllerV1);
  ResourceUse use = *hybrid.Read(box);
  EXPECT_EQ(use.user_seconds, 2.0);
  EXPECT_EQ(use.system_seconds, 1.5);
  EXPECT_EQ(use.processes, 2u);
  EXPECT_EQ(use.memory_bytes, 24u * 1024);
  Write("v1/pods/box/memory.usage_in_bytes", "5000\n");
  EXPECT_EQ(hybrid.Read(box)->memory_bytes, 5000u);
  // The process is in another v1 cgroup, which may contain further processes.
  Write("proc/7/cgroup", "4:cpu,memory:/pods\n0::/pods/box\n");
  EXPECT_EQ(hybrid.Read(box)->memory_bytes, 24u * 1024);

  Write("v2/cgroup.controllers", "cpu memory pids\n");
  Write("v2/pods/box/memory.current", "123456\n");
  const ResourceReader unified(v2, proc);
  EXPECT_EQ(unified.source(), MemorySource::kController);
  EXPECT_EQ(unified.Read(box)->memory_bytes, 123456u);
  EXPECT_FALSE(unified.Read(v2 + "/gone").has_value());
  Write("proc/self/mountinfo", "");
  Write("v2/cgroup.controllers", "\n");
  EXPECT_EQ(ResourceReader(v2, proc).source(), MemorySource::kProcesses);
}

TEST_F(Tree, FindsTheMountInEveryLayout) {
  const auto mount = [&](const std::string& lines) {
    return FindCgroupMount(Write("mountinfo", lines));
  };
  EXPECT_EQ(
      *mount("30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"),
      "/sys/fs/cgroup");
  EXPECT_EQ(*mount("30 23 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n31 30 0:27 / "
                   "/sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
                   "32 30 0:28 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 none rw\n"),
            "/sys/fs/cgroup/unified");
  EXPECT_EQ(*mount("30 23 0:26 /part /mnt/part rw - cgroup2 c rw\n31 23 0:26 / /mnt/the\\040whole "
                   "rw - cgroup2 c rw\n"),
            "/mnt/the whole");
  const auto none = mount("31 30 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
  EXPECT_TRUE(absl::IsFailedPrecondition(none.status()));
  EXPECT_NE(none.status().message().find("cgroup v2 is not mounted"), std::string::npos);
}

TEST_F(Tree, SelectsCgroupsByPathAndPattern) {
  Make("pods/one/inner");
  Make("pods/two");
  const auto select = [&](const std::vector<std::string>& arguments) {
    return SelectCgroups(arguments, root_);
  };
  const auto both = select({"pods/*"});
  ASSERT_TRUE(both.ok()) << both.status();
  ASSERT_EQ(both->size(), 2u);
  EXPECT_EQ((*both)[0].id, "one");
  EXPECT_EQ((*both)[1].cgroup, root_ + "/pods/two");
  EXPECT_EQ((*select({root_ + "/pods/one/=mine"}))[0].id, "mine");
  EXPECT_EQ((*select({"pods/one", "pods/one=again"}))[0].id, "again");
  EXPECT_EQ(select({"pods/one", "pods/one/inner"})->size(), 2u);
  EXPECT_TRUE(absl::IsNotFound(select({"pods/three"}).status()));
  for (const char* bad : {"", "=", "pods/one=", "pods/*=one"})
    EXPECT_TRUE(absl::IsInvalidArgument(select({bad}).status())) << bad;
  EXPECT_TRUE(absl::IsInvalidArgument(select({"pods/one=x", "pods/two=x"}).status()));
}

TEST_F(Tree, ReadsAProcess) {
  Write("7/stat", "7 (a) b (c) S 3 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 250 1 1\n");
  Write("7/cmdline", std::string("sh\0-c\0\0", 7));
  fs::create_symlink("/usr/bin/dash", root_ + "/7/exe");
  fs::create_symlink("/home", root_ + "/7/cwd");
  const auto p = ReadProcess(7, root_);
  ASSERT_TRUE(p.has_value());
  EXPECT_EQ(p->comm, "a) b (c");
  EXPECT_EQ(p->parent.pid, 3u);
  EXPECT_EQ(p->process.start_ns, 2'500'000'000u);
  EXPECT_EQ(p->path, "/usr/bin/dash");
  EXPECT_EQ(p->args, (std::vector<std::string>{"sh", "-c", ""}));
  EXPECT_FALSE(ReadProcess(8, root_).has_value());
  Write("9/stat", "nonsense");
  EXPECT_FALSE(ReadProcess(9, root_).has_value());
}

}  // namespace
}  // namespace sandpiper
