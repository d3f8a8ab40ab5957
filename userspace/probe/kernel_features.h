// SPDX-License-Identifier: Apache-2.0
// Features of the running kernel that decide how the BPF programs are loaded. They are read from
// the kernel's types (BTF), because distributions add features to older versions.
#ifndef SANDPIPER_USERSPACE_PROBE_KERNEL_FEATURES_H_
#define SANDPIPER_USERSPACE_PROBE_KERNEL_FEATURES_H_

#include <bpf/btf.h>

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"

namespace sandpiper {

using Btf = std::unique_ptr<btf, decltype(&btf__free)>;

// FailedPrecondition if the kernel was built without BTF.
absl::StatusOr<Btf> ReadKernelTypes();

// `kind` is a BTF_KIND_….
bool HasType(const btf* kernel, const char* name, uint32_t kind);

// Whether cgroup programs get the current task and TCP sockets as typed pointers. The two helpers
// were added in different kernels.
bool HasTypedPointers();

// Whether programs may call bpf_rdonly_cast(). Without the JIT they cannot call kernel functions.
bool HasCasts(const btf* kernel);

// Whether programs on tracepoints can be preempted. That is so if __DECLARE_TRACE in
// include/linux/tracepoint.h enters them with an SRCU guard instead of with preemption disabled.
bool HasPreemptibleTracepoints(const btf* kernel);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_PROBE_KERNEL_FEATURES_H_
