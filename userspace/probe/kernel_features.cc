// SPDX-License-Identifier: Apache-2.0
#include "userspace/probe/kernel_features.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "userspace/base/file.h"
#include "userspace/base/status.h"

namespace sandpiper {
namespace {

constexpr char kKernelBtf[] = "/sys/kernel/btf/vmlinux";

}  // namespace

absl::StatusOr<Btf> ReadKernelTypes() {
  if (access(kKernelBtf, R_OK))
    return absl::FailedPreconditionError(absl::StrCat(
        kKernelBtf,
        " cannot be read: sandpiper needs a kernel built with BTF (CONFIG_DEBUG_INFO_BTF)"));
  Btf kernel(btf__load_vmlinux_btf(), btf__free);
  if (!kernel)
    return ErrnoStatus(errno, absl::StrCat("reading ", kKernelBtf));
  return kernel;
}

bool HasType(const btf* kernel, const char* name, uint32_t kind) {
  return btf__find_by_name_kind(kernel, name, kind) > 0;
}

bool HasTypedPointers() {
  return libbpf_probe_bpf_helper(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_FUNC_get_current_task_btf,
                                 nullptr) == 1 &&
         libbpf_probe_bpf_helper(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_FUNC_skc_to_tcp_sock,
                                 nullptr) == 1;
}

bool HasCasts(const btf* kernel) {
  return HasType(kernel, "bpf_rdonly_cast", BTF_KIND_FUNC) &&
         !ReadFile("/proc/sys/net/core/bpf_jit_enable").value_or("").starts_with('0');
}

bool HasPreemptibleTracepoints(const btf* kernel) {
  return HasType(kernel, "class_srcu_fast_notrace_t", BTF_KIND_TYPEDEF);
}

}  // namespace sandpiper
