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

// What is asked for, one byte each.
constexpr char kSing = 's', kSingQuietly = 'q';
// A signal that is meant for the collector, as from a terminal, or that comes of its end, must not
// keep this process from removing the cgroup.
constexpr int kIgnored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};

absl::Status RaiseLoopback() {
  const UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request = {};
  std::memcpy(request.ifr_name, "lo", 3);
  request.ifr_flags = IFF_UP;
  return fd.ok() && ioctl(fd.get(), SIOCSIFFLAGS, &request) == 0 ? absl::OkStatus()
                                                                 : ErrnoStatus(errno, "raising lo");
}

// The root of cgroupfs may be written by nobody but who may override that (cgroup_init in
// kernel/cgroup/cgroup.c).
bool MayWrite(const std::string& folder) {
  struct stat info = {};
  return stat(folder.c_str(), &info) == 0 && info.st_uid == geteuid() && (info.st_mode & S_IWUSR);
}

class Keeper {
 public:
  Keeper(std::string cgroup, uint16_t dns_port, UniqueFd asked, UniqueFd answers)
      : cgroup_(std::move(cgroup)),
        port_(absl::StrCat(dns_port)),
        asked_(std::move(asked)),
        answers_(std::move(answers)) {}

  absl::Status Prepare() {
    prctl(PR_SET_NAME, "canary-keeper");
    for (const int signal : kIgnored)
      ::signal(signal, SIG_IGN);
    null_ = UniqueFd(open("/dev/null", O_RDWR | O_CLOEXEC));
    procs_ = UniqueFd(open(absl::StrCat(cgroup_, "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
    if (!null_.ok() || !procs_.ok())
      return ErrnoStatus(errno, "opening its files");
    // Who reads the collector's output waits for its end, not ours.
    dup2(null_.get(), STDIN_FILENO);
    dup2(null_.get(), STDOUT_FILENO);
    if (unshare(CLONE_NEWNET))
      return ErrnoStatus(errno, "making a network namespace");
    RETURN_IF_ERROR(RaiseLoopback());
    Capabilities kept = {CAP_NET_BIND_SERVICE};
    if (!MayWrite(std::filesystem::path(cgroup_).parent_path()))
      kept.insert(CAP_DAC_OVERRIDE);
    RETURN_IF_ERROR(KeepCapabilities(kept));
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? absl::OkStatus()
                                                       : ErrnoStatus(errno, "no_new_privs");
  }

  // Until the collector is gone.
  void Run() {
    Answer(0);
    char asked;
    while (read(asked_.get(), &asked, 1) == 1)
      Answer(Sing(asked == kSingQuietly));
  }

  // In place of the first answer, from which its length tells it.
  void Refuse(const std::string& why) {
    [[maybe_unused]] const ssize_t n = write(answers_.get(), why.data(), why.size());
  }

 private:
  void Answer(int status) {
    [[maybe_unused]] const ssize_t n = write(answers_.get(), &status, sizeof(status));
  }

  int Sing(bool quiet) {
    const pid_t singer = fork();
    if (singer == 0)
      Exec(quiet);
    // Its end, or that of the collector.
    const UniqueFd ended(static_cast<int>(syscall(SYS_pidfd_open, singer, 0)));
    pollfd polled[] = {{.fd = ended.get(), .events = POLLIN, .revents = 0},
                       {.fd = asked_.get(), .events = POLLIN, .revents = 0}};
    while (ended.ok() && poll(polled, 2, -1) < 0 && errno == EINTR) {
    }
    if (polled[0].revents == 0)
      kill(singer, SIGKILL);
    int status = 127 << 8;  // as of a program that cannot be run
    waitpid(singer, &status, 0);
    return status;
  }

  [[noreturn]] void Exec(bool quiet) const {
    for (const int signal : kIgnored)
      ::signal(signal, SIG_DFL);
    if (quiet)
      dup2(null_.get(), STDERR_FILENO);
    const char* const argv[] = {"sandpiper", "canary", port_.c_str(), nullptr};
    const char* const environment[] = {nullptr};
    if (write(procs_.get(), "0", 1) == 1)
      execve("/proc/self/exe", const_cast<char* const*>(argv),
             const_cast<char* const*>(environment));
    _exit(127);
  }

  const std::string cgroup_, port_;
  UniqueFd asked_, answers_, procs_, null_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<CanaryKeeper>> CanaryKeeper::Start(const std::string& cgroup,
                                                                  uint16_t dns_port) {
  int ask[2], answer[2];
  if (pipe2(ask, O_CLOEXEC) || pipe2(answer, O_CLOEXEC | O_NONBLOCK))
    return ErrnoStatus(errno, "pipe2");
  UniqueFd asked(ask[0]), ours(ask[1]), answers(answer[0]), theirs(answer[1]);
  rmdir(cgroup.c_str());  // left empty by one of our pid
  if (mkdir(cgroup.c_str(), 0755))
    return ErrnoStatus(errno, absl::StrCat("making the cgroup ", cgroup));
  const pid_t pid = fork();
  if (pid < 0) {
    const absl::Status status = ErrnoStatus(errno, "fork");
    rmdir(cgroup.c_str());
    return status;
  }
  if (pid == 0) {
    ours.reset();
    answers.reset();
    Keeper keeper(cgroup, dns_port, std::move(asked), std::move(theirs));
    if (const absl::Status status = keeper.Prepare(); status.ok())
      keeper.Run();
    else
      keeper.Refuse(std::string(status.message()));
    rmdir(cgroup.c_str());
    _exit(0);
  }
  asked.reset();
  theirs.reset();
  std::unique_ptr<CanaryKeeper> keeper(
      new CanaryKeeper(cgroup, pid, std::move(ours), std::move(answers)));
  // It says that it is ready, or why not.
  pollfd ready = {.fd = keeper->answers_.get(), .events = POLLIN, .revents = 0};
  while (poll(&ready, 1, -1) < 0 && errno == EINTR) {
  }
  char told[256];
  const ssize_t n = read(keeper->answers_.get(), told, sizeof(told));
  if (n != sizeof(int))
    return absl::InternalError(n > 0 ? std::string(told, static_cast<size_t>(n))
                                     : "its keeper ended");
  return keeper;
}

CanaryKeeper::~CanaryKeeper() {
  asks_.reset();
  waitpid(pid_, nullptr, 0);
}

absl::Status CanaryKeeper::Begin(bool quiet) {
  // A pipe that nobody reads would be a signal.
  pollfd gone = {.fd = asks_.get(), .events = 0, .revents = 0};
  if (poll(&gone, 1, 0) != 0)
    return absl::UnavailableError("its keeper is gone");
  const char asked = quiet ? kSingQuietly : kSing;
  return write(asks_.get(), &asked, 1) == 1 ? absl::OkStatus()
                                            : ErrnoStatus(errno, "asking its keeper");
}

absl::StatusOr<std::optional<int>> CanaryKeeper::End() {
  int status = 0;
  const ssize_t n = read(answers_.get(), &status, sizeof(status));
  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return std::nullopt;
  if (n != sizeof(status))
    return absl::UnavailableError("its keeper is gone");
  return status;
}

}  // namespace sandpiper
