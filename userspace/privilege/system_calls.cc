// SPDX-License-Identifier: Apache-2.0
#include "userspace/privilege/system_calls.h"

#include <linux/bpf.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>

#include "absl/strings/str_cat.h"
#include "userspace/base/status.h"

namespace sandpiper {
namespace {

constexpr const char* kAllowed[] = {
    // Memory, threads, signals, time.
    "brk", "clock_getres", "clock_gettime", "clock_nanosleep", "exit", "exit_group", "futex",
    "get_robust_list", "getcpu", "getrandom", "getrusage", "gettimeofday", "kill", "madvise",
    "membarrier", "mlock", "mmap", "mprotect", "mremap", "munmap", "munlock", "nanosleep",
    "restart_syscall", "rseq", "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigreturn",
    "rt_sigtimedwait", "sched_getaffinity", "sched_getparam", "sched_getscheduler", "sched_yield",
    "set_robust_list", "set_tid_address", "sigaltstack", "sysinfo", "tgkill", "time", "times",
    "uname", "wait4", "waitid",
    // Identity, and dropping privileges.
    "capget", "capset", "getegid", "geteuid", "getgid", "getgroups", "getpid", "getppid",
    "getrlimit", "getuid", "gettid", "prctl", "prlimit64", "seccomp",
    // Files: cgroupfs, /proc, configuration, certificates, the spool.
    "access", "close", "close_range", "dup", "dup2", "dup3", "faccessat", "faccessat2", "fallocate",
    "fchmod", "fchown", "fcntl", "fdatasync", "flock", "fstat", "fstatfs", "fsync", "ftruncate",
    "getcwd", "getdents64", "inotify_add_watch", "inotify_init1", "inotify_rm_watch", "ioctl",
    "lseek", "lstat", "mkdir", "mkdirat", "name_to_handle_at", "newfstatat", "open", "openat",
    "openat2", "pread64", "pwrite64", "read", "readlink", "readlinkat", "readv", "rename",
    "renameat", "renameat2", "rmdir", "stat", "statfs", "statx", "umask", "unlink", "unlinkat",
    "utimensat", "write", "writev",
    // Waiting.
    "epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait",
    "eventfd2", "pipe", "pipe2", "poll", "ppoll", "pselect6", "select", "timerfd_create",
    "timerfd_settime",
    // Sockets of the families below.
    "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen",
    "recvfrom", "recvmmsg", "recvmsg", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown"};

constexpr int kFamilies[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};

// The commands of bpf(2) that neither load programs nor open those of other processes.
constexpr int kMapCommands[] = {BPF_MAP_LOOKUP_ELEM,
                                BPF_MAP_UPDATE_ELEM,
                                BPF_MAP_DELETE_ELEM,
                                BPF_MAP_GET_NEXT_KEY,
                                BPF_MAP_LOOKUP_AND_DELETE_ELEM,
                                BPF_MAP_LOOKUP_BATCH,
                                BPF_MAP_LOOKUP_AND_DELETE_BATCH,
                                BPF_MAP_UPDATE_BATCH,
                                BPF_MAP_DELETE_BATCH,
                                BPF_OBJ_GET_INFO_BY_FD,
                                BPF_ITER_CREATE};

// libseccomp's functions return a negative errno.
absl::Status Check(int result, const char* what) {
  return result < 0 ? ErrnoStatus(-result, absl::StrCat("limiting system calls: ", what))
                    : absl::OkStatus();
}

class Filter {
 public:
  // `default_action` applies to calls without a rule.
  explicit Filter(uint32_t default_action)
      : filter_(seccomp_init(default_action), seccomp_release) {
    status_ = filter_ ? Check(seccomp_attr_set(filter_.get(), SCMP_FLTATR_CTL_TSYNC, 1),
                              "for all threads")
                      : absl::InternalError("limiting system calls: libseccomp returned no filter");
  }

  void Set(scmp_filter_attr attribute, uint32_t value) {
    if (status_.ok())
      status_ = Check(seccomp_attr_set(filter_.get(), attribute, value), "setting up the filter");
  }
  void Allow(const char* name) {
    // Not every architecture has every call.
    if (const int number = seccomp_syscall_resolve_name(name); number != __NR_SCMP_ERROR)
      Add(SCMP_ACT_ALLOW, number, name, {});
  }
  void AllowIf(const char* name, scmp_arg_cmp argument) {
    Add(SCMP_ACT_ALLOW, seccomp_syscall_resolve_name(name), name, {argument});
  }
  void Fail(const char* name, uint16_t error) {
    Add(SCMP_ACT_ERRNO(error), seccomp_syscall_resolve_name(name), name, {});
  }

  absl::Status Load() {
    RETURN_IF_ERROR(status_);
    return Check(seccomp_load(filter_.get()), "the kernel rejected the filter");
  }

 private:
  void Add(uint32_t action, int number, const char* name,
           std::initializer_list<scmp_arg_cmp> arguments) {
    if (status_.ok())
      status_ =
          Check(seccomp_rule_add_array(filter_.get(), action, number,
                                       static_cast<unsigned>(arguments.size()), arguments.begin()),
                name);
  }

  std::unique_ptr<void, void (*)(scmp_filter_ctx)> filter_;
  absl::Status status_;
};

// New threads are allowed, new processes are not. The flags of clone3 are in memory, which a filter
// cannot read, so clone3 fails with ENOSYS and the C library falls back to clone. This is a filter
// of its own because the kernel should not log these failures.
absl::Status HideClone3() {
  Filter filter(SCMP_ACT_ALLOW);
  filter.Fail("clone3", ENOSYS);
  return filter.Load();
}

}  // namespace

absl::Status LimitSystemCalls(BpfCalls bpf) {
  RETURN_IF_ERROR(HideClone3());
  Filter filter(SCMP_ACT_ERRNO(EPERM));
  filter.Set(SCMP_FLTATR_CTL_LOG, 1);
  filter.Set(SCMP_FLTATR_CTL_OPTIMIZE, 2);  // a binary tree instead of a list
  for (const char* name : kAllowed)
    filter.Allow(name);
  for (const int family : kFamilies) {
    filter.AllowIf("socket", SCMP_A0(SCMP_CMP_EQ, static_cast<scmp_datum_t>(family)));
    filter.AllowIf("socketpair", SCMP_A0(SCMP_CMP_EQ, static_cast<scmp_datum_t>(family)));
  }
  filter.AllowIf("clone", SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
  filter.Allow("clone3");
  filter.AllowIf("setns", SCMP_A1(SCMP_CMP_EQ, CLONE_NEWNET));
  if (bpf == BpfCalls::kAll) {
    filter.Allow("bpf");
    filter.Allow("perf_event_open");
    // Kernels before 6.6 watch a device with the filter of a packet socket.
    filter.AllowIf("socket", SCMP_A0(SCMP_CMP_EQ, AF_PACKET));
  } else {
    for (const int command : kMapCommands)
      filter.AllowIf("bpf", SCMP_A0(SCMP_CMP_EQ, static_cast<scmp_datum_t>(command)));
  }
  return filter.Load();
}

}  // namespace sandpiper
