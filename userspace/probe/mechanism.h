// SPDX-License-Identifier: Apache-2.0
// Mechanisms: ways to attach a set of programs, and whether this kernel allows them.
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
  kFunctionExit,       // exit of a kernel function, fexit
  kSyscallTracepoint,  // tracepoint of a system call, by perf_event_open(2)
  kCgroup,
  kStorageIterator,
};

const char* Name(Hook hook);

struct AttachTarget {
  int cgroup_fd = -1;
  const bpf_map* storage = nullptr;  // the map that a storage iterator reads
};

// OK if the program can be loaded and attached on this kernel, else the reason. `kernel` is the
// kernel's BTF. Leaves nothing loaded.
absl::Status CheckAvailable(Hook hook, const bpf_program* program, const btf* kernel);

// Checks whether programs on function exits are allowed, by attaching a minimal one to `function`.
// Policies such as lockdown deny the type of program and not a single one.
absl::Status CheckFunctionExit(const btf* kernel, const std::string& function);

// The reason of a mechanism that the user excluded.
inline constexpr char kAvoided[] = "excluded by --avoid";

// Appends "mechanism: reason" to the reasons of a probe's state.
void AppendReason(const std::string& mechanism, const std::string& reason, std::string* reasons);

// NotFound if this kernel was built without kprobes.
absl::Status CheckKprobes();

// The caller owns the link.
absl::StatusOr<bpf_link*> AttachProgram(Hook hook, const bpf_program* program,
                                        const AttachTarget& target);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_PROBE_MECHANISM_H_
