// SPDX-License-Identifier: Apache-2.0
#include "userspace/canary/canary_keeper.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "userspace/base/status.h"
#include "userspace/privilege/capabilities.h"

namespace sandpiper {
namespace {

// Requests to the keeper, one byte each.
constexpr char kRun = 'r';
constexpr char kRunQuietly = 'q';
// A terminal sends some of these to the keeper too, and SIGPIPE follows when the collector ends.
// The keeper has to survive them to remove the cgroup.
constexpr int kIgnored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};

absl::Status RaiseLoopback() {
  const UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request = {};
  std::memcpy(request.ifr_name, "lo", 3);
  request.ifr_flags = IFF_UP;
  return fd.ok() && ioctl(fd.get(), SIOCSIFFLAGS, &request) == 0 ? absl::OkStatus()
                                                                 : ErrnoStatus(errno, "raising lo");
}

// False for the root of cgroupfs, where only CAP_DAC_OVERRIDE allows it (cgroup_init in
// kernel/cgroup/cgroup.c).
bool CanWrite(const std::string& folder) {
  struct stat info = {};
  return stat(folder.c_str(), &info) == 0 && info.st_uid == geteuid() && (info.st_mode & S_IWUSR);
}

// The program of the keeper process.
class Keeper {
 public:
  Keeper(std::string cgroup, uint16_t dns_port, UniqueFd requests, UniqueFd replies)
      : cgroup_(std::move(cgroup)),
        port_(absl::StrCat(dns_port)),
        requests_(std::move(requests)),
        replies_(std::move(replies)) {}

  absl::Status Prepare() {
    prctl(PR_SET_NAME, "canary-keeper");
    for (const int signal : kIgnored)
      ::signal(signal, SIG_IGN);
    null_ = UniqueFd(open("/dev/null", O_RDWR | O_CLOEXEC));
    procs_ = UniqueFd(open(absl::StrCat(cgroup_, "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
    if (!null_.ok() || !procs_.ok())
      return ErrnoStatus(errno, "opening files of the self-test");
    // A reader of the collector's output waits for the end of the collector only.
    dup2(null_.get(), STDIN_FILENO);
    dup2(null_.get(), STDOUT_FILENO);
    if (unshare(CLONE_NEWNET))
      return ErrnoStatus(errno, "creating a network namespace");
    RETURN_IF_ERROR(RaiseLoopback());
    Capabilities kept = {CAP_NET_BIND_SERVICE};
    if (!CanWrite(std::filesystem::path(cgroup_).parent_path()))
      kept.insert(CAP_DAC_OVERRIDE);
    RETURN_IF_ERROR(KeepCapabilities(kept));
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? absl::OkStatus()
                                                       : ErrnoStatus(errno, "no_new_privs");
  }

  // Serves requests until the collector ends.
  void Run() {
    Reply(0);
    char request;
    while (read(requests_.get(), &request, 1) == 1)
      Reply(RunTestProcess(request == kRunQuietly ? ProgramErrors::kHide : ProgramErrors::kShow));
  }

  // Sends an error message in place of the first reply. The reader distinguishes them by length.
  void ReplyError(const std::string& message) {
    [[maybe_unused]] const ssize_t n = write(replies_.get(), message.data(), message.size());
  }

 private:
  void Reply(int status) {
    [[maybe_unused]] const ssize_t n = write(replies_.get(), &status, sizeof(status));
  }

  // Returns its status.
  int RunTestProcess(ProgramErrors errors) {
    const pid_t pid = fork();
    if (pid == 0)
      Exec(errors);
    // Wait for its end, or for that of the collector.
    const UniqueFd ended(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    pollfd polled[] = {{.fd = ended.get(), .events = POLLIN, .revents = 0},
                       {.fd = requests_.get(), .events = POLLIN, .revents = 0}};
    while (ended.ok() && poll(polled, 2, -1) < 0 && errno == EINTR) {
    }
    if (polled[0].revents == 0)
      kill(pid, SIGKILL);
    int status = 127 << 8;  // the status of a program that cannot be started
    waitpid(pid, &status, 0);
    return status;
  }

  [[noreturn]] void Exec(ProgramErrors errors) const {
    for (const int signal : kIgnored)
      ::signal(signal, SIG_DFL);
    if (errors == ProgramErrors::kHide)
      dup2(null_.get(), STDERR_FILENO);
    const char* const argv[] = {"sandpiper", "canary", port_.c_str(), nullptr};
    const char* const environment[] = {nullptr};
    if (write(procs_.get(), "0", 1) == 1)
      execve("/proc/self/exe", const_cast<char* const*>(argv),
             const_cast<char* const*>(environment));
    _exit(127);
  }

  const std::string cgroup_;
  const std::string port_;
  UniqueFd requests_;
  UniqueFd replies_;
  UniqueFd procs_;  // cgroup.procs of its cgroup
  UniqueFd null_;   // /dev/null
};

}  // namespace

absl::StatusOr<std::unique_ptr<CanaryKeeper>> CanaryKeeper::Start(const std::string& cgroup,
                                                                  uint16_t dns_port) {
  int request_pipe[2];
  int reply_pipe[2];
  if (pipe2(request_pipe, O_CLOEXEC) || pipe2(reply_pipe, O_CLOEXEC | O_NONBLOCK))
    return ErrnoStatus(errno, "pipe2");
  UniqueFd read_requests(request_pipe[0]);
  UniqueFd write_requests(request_pipe[1]);
  UniqueFd read_replies(reply_pipe[0]);
  UniqueFd write_replies(reply_pipe[1]);
  rmdir(cgroup.c_str());  // an earlier process with this pid may have left it
  if (mkdir(cgroup.c_str(), 0755))
    return ErrnoStatus(errno, absl::StrCat("creating the cgroup ", cgroup));
  const pid_t pid = fork();
  if (pid < 0) {
    const absl::Status status = ErrnoStatus(errno, "fork");
    rmdir(cgroup.c_str());
    return status;
  }
  if (pid == 0) {
    write_requests.reset();
    read_replies.reset();
    Keeper keeper(cgroup, dns_port, std::move(read_requests), std::move(write_replies));
    if (const absl::Status status = keeper.Prepare(); status.ok())
      keeper.Run();
    else
      keeper.ReplyError(std::string(status.message()));
    rmdir(cgroup.c_str());
    _exit(0);
  }
  read_requests.reset();
  write_replies.reset();
  std::unique_ptr<CanaryKeeper> keeper(
      new CanaryKeeper(cgroup, pid, std::move(write_requests), std::move(read_replies)));
  // The first reply: it is ready, or an error message.
  pollfd ready = {.fd = keeper->replies_.get(), .events = POLLIN, .revents = 0};
  while (poll(&ready, 1, -1) < 0 && errno == EINTR) {
  }
  char reply[256];
  const ssize_t n = read(keeper->replies_.get(), reply, sizeof(reply));
  if (n != sizeof(int))
    return absl::InternalError(n > 0 ? std::string(reply, static_cast<size_t>(n))
                                     : "the canary-keeper process ended");
  return keeper;
}

CanaryKeeper::~CanaryKeeper() {
  requests_.reset();
  waitpid(pid_, nullptr, 0);
}

absl::Status CanaryKeeper::RunProgram(ProgramErrors errors) {
  // Writing to a pipe without a reader would raise SIGPIPE.
  pollfd closed = {.fd = requests_.get(), .events = 0, .revents = 0};
  if (poll(&closed, 1, 0) != 0)
    return absl::UnavailableError("the canary-keeper process ended");
  const char request = errors == ProgramErrors::kHide ? kRunQuietly : kRun;
  return write(requests_.get(), &request, 1) == 1
             ? absl::OkStatus()
             : ErrnoStatus(errno, "writing to the canary-keeper process");
}

absl::StatusOr<std::optional<int>> CanaryKeeper::PollStatus() {
  int status = 0;
  const ssize_t n = read(replies_.get(), &status, sizeof(status));
  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return std::nullopt;
  if (n != sizeof(status))
    return absl::UnavailableError("the canary-keeper process ended");
  return status;
}

}  // namespace sandpiper
