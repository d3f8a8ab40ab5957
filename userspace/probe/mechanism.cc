// SPDX-License-Identifier: Apache-2.0
#include "userspace/probe/mechanism.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>

#include "userspace/base/fd.h"
#include "userspace/base/status.h"

namespace sandpiper {
namespace {

// "tp_btf/sched_process_exec" -> "sched_process_exec".
std::string Target(const bpf_program* program) {
  const std::string section = bpf_program__section_name(program);
  return section.substr(section.find('/') + 1);
}

// The BTF id of an attach target. A raw tracepoint is the typedef btf_trace_NAME, an iterator the
// function bpf_iter_NAME, and any other target a function NAME. libbpf_find_vmlinux_btf_id() does
// the same, but reads all of BTF at each call.
absl::StatusOr<__u32> FindTarget(const btf* kernel, const std::string& name, const char* prefix,
                                 __u32 kind) {
  const __s32 id = btf__find_by_name_kind(kernel, absl::StrCat(prefix, name).c_str(), kind);
  if (id <= 0)
    return absl::NotFoundError(absl::StrCat("this kernel has no ", name));
  return static_cast<__u32>(id);
}

// tracefs is often not mounted. A detached mount is read instead, which does not change the mounts
// of the host.
absl::StatusOr<int> TracepointId(const std::string& tracepoint) {
  const UniqueFd context(static_cast<int>(syscall(SYS_fsopen, "tracefs", FSOPEN_CLOEXEC)));
  if (!context.ok())
    return ErrnoStatus(errno, "opening tracefs");
  if (syscall(SYS_fsconfig, context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0))
    return ErrnoStatus(errno, "configuring tracefs");
  const UniqueFd mount(static_cast<int>(syscall(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC, 0)));
  if (!mount.ok())
    return ErrnoStatus(errno, "mounting tracefs");
  const std::string path = absl::StrCat("events/", tracepoint, "/id");
  const UniqueFd file(openat(mount.get(), path.c_str(), O_RDONLY | O_CLOEXEC));
  char text[32] = {};
  if (!file.ok() || read(file.get(), text, sizeof(text) - 1) <= 0)
    return ErrnoStatus(errno, absl::StrCat("reading tracefs ", path));
  return atoi(text);
}

absl::StatusOr<bpf_link*> AttachSyscallTracepoint(const bpf_program* program) {
  ASSIGN_OR_RETURN(const int id, TracepointId(Target(program)));
  perf_event_attr attributes = {};
  attributes.size = sizeof(attributes);
  attributes.type = PERF_TYPE_TRACEPOINT;
  attributes.config = static_cast<__u64>(id);
  UniqueFd event(
      static_cast<int>(syscall(SYS_perf_event_open, &attributes, -1, 0, -1, PERF_FLAG_FD_CLOEXEC)));
  if (!event.ok())
    return ErrnoStatus(errno, absl::StrCat("perf_event_open for ", Target(program)));
  bpf_link* link = bpf_program__attach_perf_event(program, event.get());
  if (!link)
    return ErrnoStatus(errno, absl::StrCat("attaching to ", Target(program)));
  event.release();  // the link closes it
  return link;
}

}  // namespace

const char* Name(Hook hook) {
  switch (hook) {
    case Hook::kTracepoint:
      return "tp_btf";
    case Hook::kFunctionExit:
      return "fexit";
    case Hook::kSyscallTracepoint:
      return "syscall tracepoint";
    case Hook::kCgroup:
      return "cgroup";
    case Hook::kStorageIterator:
      return "iterator";
  }
  return "";
}

absl::Status CheckFunctionExit(const btf* kernel, const std::string& function) {
  ASSIGN_OR_RETURN(const __u32 id, FindTarget(kernel, function, "", BTF_KIND_FUNC));
  const bpf_insn instructions[] = {
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .src_reg = 0, .off = 0, .imm = 0},
      {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
  };
  LIBBPF_OPTS(bpf_prog_load_opts, options);
  options.expected_attach_type = BPF_TRACE_FEXIT;
  options.attach_btf_id = id;
  const UniqueFd program(bpf_prog_load(BPF_PROG_TYPE_TRACING, "fexit_check", "GPL", instructions,
                                       std::size(instructions), &options));
  if (!program.ok())
    return ErrnoStatus(errno, absl::StrCat("loading a program on the exit of ", function));
  const UniqueFd link(bpf_raw_tracepoint_open(nullptr, program.get()));
  return link.ok() ? absl::OkStatus()
                   : ErrnoStatus(errno, absl::StrCat("attaching to the exit of ", function));
}

void AppendReason(const std::string& mechanism, const std::string& reason, std::string* reasons) {
  absl::StrAppend(reasons, reasons->empty() ? "" : "; ", mechanism, ": ", reason);
}

absl::Status CheckKprobes() {
  constexpr char kSource[] = "/sys/bus/event_source/devices/kprobe";
  return access(kSource, F_OK) == 0
             ? absl::OkStatus()
             : absl::NotFoundError(absl::StrCat("this kernel has no ", kSource));
}

absl::Status CheckAvailable(Hook hook, const bpf_program* program, const btf* kernel) {
  switch (hook) {
    case Hook::kTracepoint:
      return FindTarget(kernel, Target(program), "btf_trace_", BTF_KIND_TYPEDEF).status();
    case Hook::kFunctionExit:
      return CheckFunctionExit(kernel, Target(program));
    case Hook::kSyscallTracepoint:
      return TracepointId(Target(program)).status();
    case Hook::kStorageIterator:
      return FindTarget(kernel, Target(program), "bpf_iter_", BTF_KIND_FUNC).status();
    case Hook::kCgroup:
      return absl::OkStatus();
  }
  return absl::OkStatus();
}

absl::StatusOr<bpf_link*> AttachProgram(Hook hook, const bpf_program* program,
                                        const AttachTarget& target) {
  bpf_link* link = nullptr;
  switch (hook) {
    case Hook::kSyscallTracepoint:
      return AttachSyscallTracepoint(program);
    case Hook::kCgroup:
      link = bpf_program__attach_cgroup(program, target.cgroup_fd);
      break;
    case Hook::kStorageIterator: {
      bpf_iter_link_info info = {};
      info.map.map_fd = static_cast<__u32>(bpf_map__fd(target.storage));
      LIBBPF_OPTS(bpf_iter_attach_opts, options);
      options.link_info = &info;
      options.link_info_len = sizeof(info);
      link = bpf_program__attach_iter(program, &options);
      break;
    }
    case Hook::kTracepoint:
    case Hook::kFunctionExit:
      link = bpf_program__attach(program);
      break;
  }
  if (!link)
    return ErrnoStatus(errno, absl::StrCat("attaching to ", bpf_program__section_name(program)));
  return link;
}

}  // namespace sandpiper
