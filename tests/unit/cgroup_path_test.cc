// SPDX-License-Identifier: Apache-2.0
#include "userspace/sandbox/cgroup_path.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_replace.h"
#include "userspace/sandbox/cgroup_fs.h"

namespace sandpiper {
namespace {

const std::string kId = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const std::string kInner = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";

struct Vector {
  std::string path;  // <64> is replaced by kId, <inner> by kInner
  std::string container, pod, unit, runtime;
  bool monitor = false;
};

const std::vector<Vector>& Vectors() {
  static const std::vector<Vector> kVectors = {
      {"/kubepods/besteffort/pod26ab26cd-6409-443f-a13c-fd6c231207c8/<64>", "<64>",
       "26ab26cd-6409-443f-a13c-fd6c231207c8", "", ""},
      {"/kubepods/burstable/podb53dfa9e2dc9b890f7fadb2770857b03/<64>", "<64>",
       "b53dfa9e2dc9b890f7fadb2770857b03", "", ""},
      {"/kubepods/besteffort/pod897277d4-5e6f-4999-a976-b8340e8d075e/crio-<64>", "<64>",
       "897277d4-5e6f-4999-a976-b8340e8d075e", "", "cri-o"},
      {"/kubepods.slice/kubepods-burstable.slice/"
       "kubepods-burstable-pod2942c55e_c9cb_428a_93f4_eaf89c1f3ce0.slice/crio-<64>.scope",
       "<64>", "2942c55e-c9cb-428a-93f4-eaf89c1f3ce0", "", "cri-o"},
      {"/kubepods.slice/kubepods-burstable.slice/"
       "kubepods-burstable-pod2942c55e_c9cb_428a_93f4_eaf89c1f3ce0.slice/crio-<64>.scope/"
       "container",
       "<64>", "2942c55e-c9cb-428a-93f4-eaf89c1f3ce0", "", "cri-o"},
      {"/kubepods.slice/kubepods-besteffort.slice/"
       "kubepods-besteffort-podeb052b63_ea96_4728_ab4a_64ab3babccd7.slice/"
       "cri-containerd-<64>.scope",
       "<64>", "eb052b63-ea96-4728-ab4a-64ab3babccd7", "", "containerd"},
      {"/kubepods.slice/kubepods-besteffort.slice/"
       "kubepods-besteffort-pod8712f785_1a3e_41ec_a00b_e2dcc77431cb.slice/docker-<64>.scope",
       "<64>", "8712f785-1a3e-41ec-a00b-e2dcc77431cb", "", "docker"},
      {"/kubepods/poda38c12e8-255a-11e9-8cd9-0007cb0b2cc8/<64>", "<64>",
       "a38c12e8-255a-11e9-8cd9-0007cb0b2cc8", "", ""},
      {"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/"
       "kubelet-kubepods-besteffort-pod44c76ce5_f953_4bd3_bc89_12621681af49.slice/"
       "cri-containerd-<64>.scope",
       "<64>", "44c76ce5-f953-4bd3-bc89-12621681af49", "", "containerd"},
      {"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/"
       "kubepods-besteffort-pod9ac48755_3968_48e4_b9dc_6d4b69f3bb42.slice/"
       "cri-containerd-<64>.scope",
       "<64>", "9ac48755-3968-48e4-b9dc-6d4b69f3bb42", "", "containerd"},
      {"/system.slice/containerd.service/"
       "kubepods-burstable-pod4ed02c0b_0df8_4d14_a30e_fd589ee4143a.slice:cri-containerd:<64>",
       "<64>", "4ed02c0b-0df8-4d14-a30e-fd589ee4143a", "", "containerd"},
      {"/docker/<64>", "<64>", "", "", "docker"},
      {"/docker/<64>/docker/<inner>", "<inner>", "", "", "docker"},
      {"/system.slice/docker-<64>.scope", "<64>", "", "", "docker"},
      {"/system.slice/docker-<64>.scope/init.scope", "<64>", "", "", "docker"},
      {"/machine.slice/libpod-<64>.scope/container", "<64>", "", "", "podman"},
      {"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-<64>.scope/container",
       "<64>", "", "", "podman"},
      {"/libpod_parent/libpod-<64>", "<64>", "", "", "podman"},
      {"/lxc/web", "web", "", "", "lxc"},
      {"/lxc.payload.web", "web", "", "", "lxc"},
      {"/system.slice/springboot.service", "", "", "springboot.service", ""},
      {"/system.slice/system-postgresql.slice/postgresql@9.4-main.service", "", "",
       "postgresql@9.4-main.service", ""},
      {"/system.slice/my\\x2dapp.service", "", "", "my-app.service", ""},
      {"/../../pode039200acb850c82bb901653cc38ff6e/<64>", "<64>",
       "e039200acb850c82bb901653cc38ff6e", "", ""},
      {"/system.slice/crio-conmon-<64>.scope", "", "", "", "", true},
      {"/machine.slice/libpod-conmon-<64>.scope", "", "", "", "", true},
      {"/libpod_parent/conmon", "", "", "", "", true},
      // Paths without container, pod or unit.
      {"/", "", "", "", ""},
      {"/user.slice", "", "", "", ""},
      {"/a/0123456789abcdef0123456789abcdef", "", "", "", ""},
      {"/kubepods/besteffort/podNOT-A-UID", "", "", "", ""},
  };
  return kVectors;
}

std::string Fill(const std::string& text) {
  return absl::StrReplaceAll(text, {{"<64>", kId}, {"<inner>", kInner}});
}

void Check(const Vector& v, const std::string& path) {
  const CgroupPath parsed = ParseCgroupPath(path);
  EXPECT_EQ(parsed.monitor, v.monitor) << path;
  if (v.monitor)
    return;
  EXPECT_EQ(parsed.container_id, Fill(v.container)) << path;
  EXPECT_EQ(parsed.pod_uid, v.pod) << path;
  EXPECT_EQ(parsed.unit, v.unit) << path;
  EXPECT_EQ(parsed.runtime, v.runtime) << path;
}

TEST(CgroupPath, ParsesEveryKnownLayout) {
  for (const Vector& v : Vectors())
    Check(v, Fill(v.path));
}

// Creates the paths as folders and scans them.
TEST(CgroupPath, ParsesPathsOfATree) {
  namespace fs = std::filesystem;
  const std::string root = ::testing::TempDir() + "/cgroups";
  fs::remove_all(root);
  for (const Vector& v : Vectors()) {
    if (v.path.find("..") == std::string::npos)
      fs::create_directories(root + Fill(v.path));
  }
  const std::vector<std::string> found = CgroupsBelow(root);
  for (const Vector& v : Vectors()) {
    if (v.path.find("..") != std::string::npos || v.path == "/")
      continue;
    const auto it = std::find(found.begin(), found.end(), root + Fill(v.path));
    ASSERT_NE(it, found.end()) << v.path;
    Check(v, it->substr(root.size()));
  }
  fs::remove_all(root);
}

}  // namespace
}  // namespace sandpiper
