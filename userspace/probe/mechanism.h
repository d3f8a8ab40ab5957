// SPDX-License-Identifier: Apache-2.0
// One way to attach a set of programs, and whether this kernel allows it.
#ifndef SANDPIPER_USERSPACE_PROBE_MECHANISM_H_
#define SANDPIPER_USERSPACE_PROBE_MECHANISM_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct btf;
struct bpf_link;
struct bpf_map;
struct bpf_program;

namespace sandpiper {

enum class Hook {
  kTracepoint,         // raw tracepoint with BTF
  kFunctionExit,       // fexit
  kSyscallTracepoint,  // classic tracepoint of a system call
  kCgroup,
  kStorageIterator,
};

const char* Name(Hook hook);

struct AttachTarget {
  int cgroup_fd = -1;
  const bpf_map* storage = nullptr;  // what a storage iterator walks
};

// OK if the program can be loaded and attached here, else the reason. `kernel` is the kernel's own
// BTF. Loads nothing that stays.
absl::Status CheckAvailable(Hook hook, const bpf_program* program, const btf* kernel);

// The same of programs on the exit of functions, with the smallest one there is: what is refused is
// the kind, as under lockdown. `function` is one of the kernel itself.
absl::Status CheckFunctionExit(const btf* kernel, const std::string& function);

// NotFound where this kernel has no kprobes at all.
absl::Status CheckKprobes();

// The link is the caller's.
absl::StatusOr<bpf_link*> AttachProgram(Hook hook, const bpf_program* program,
                                        const AttachTarget& target);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_PROBE_MECHANISM_H_
