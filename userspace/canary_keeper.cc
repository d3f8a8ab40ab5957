#include "userspace/canary_keeper.h"

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
// A signal that is meant for the collector, as from a terminal, must not keep this process from removing the cgroup.
constexpr int kForTheCollector[] = {SIGINT, SIGTERM, SIGHUP};

absl::Status RaiseLoopback() {
  const UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request = {};
  std::memcpy(request.ifr_name, "lo", 3);
  request.ifr_flags = IFF_UP;
  return fd.ok() && ioctl(fd.get(), SIOCSIFFLAGS, &request) == 0 ? absl::OkStatus() : ErrnoStatus(errno, "raising lo");
}

// The root of cgroupfs may be written by nobody but who may override that (cgroup_init in kernel/cgroup/cgroup.c).
bool MayWrite(const std::string& folder) {
  struct stat info = {};
  return stat(folder.c_str(), &info) == 0 && info.st_uid == geteuid() && (info.st_mode & S_IWUSR);
}

class Keeper {
 public:
  Keeper(std::string cgroup, uint16_t dns_port, UniqueFd socket)
      : cgroup_(std::move(cgroup)), port_(absl::StrCat(dns_port)), socket_(std::move(socket)) {}

  absl::Status Prepare() {
    prctl(PR_SET_NAME, "canary-keeper");
    for (const int signal : kForTheCollector)
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
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? absl::OkStatus() : ErrnoStatus(errno, "no_new_privs");
  }

  // Until the collector is gone.
  void Run() {
    char asked;
    while (recv(socket_.get(), &asked, 1, 0) == 1) {
      const int status = Sing(asked == kSingQuietly);
      if (send(socket_.get(), &status, sizeof(status), MSG_NOSIGNAL) != sizeof(status))
        break;
    }
  }

 private:
  int Sing(bool quiet) {
    const pid_t singer = fork();
    if (singer == 0)
      Exec(quiet);
    // Its end, or that of the collector.
    const UniqueFd ended(static_cast<int>(syscall(SYS_pidfd_open, singer, 0)));
    pollfd polled[] = {{.fd = ended.get(), .events = POLLIN, .revents = 0}, {.fd = socket_.get(), .events = POLLIN, .revents = 0}};
    while (ended.ok() && poll(polled, 2, -1) < 0 && errno == EINTR) {
    }
    if (polled[0].revents == 0)
      kill(singer, SIGKILL);
    int status = 127 << 8;  // as of a program that cannot be run
    waitpid(singer, &status, 0);
    return status;
  }

  [[noreturn]] void Exec(bool quiet) const {
    for (const int signal : kForTheCollector)
      ::signal(signal, SIG_DFL);
    if (quiet)
      dup2(null_.get(), STDERR_FILENO);
    const char* const argv[] = {"sandpiper", "canary", port_.c_str(), nullptr};
    const char* const environment[] = {nullptr};
    if (write(procs_.get(), "0", 1) == 1)
      execve("/proc/self/exe", const_cast<char* const*>(argv), const_cast<char* const*>(environment));
    _exit(127);
  }

  const std::string cgroup_, port_;
  UniqueFd socket_, procs_, null_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<CanaryKeeper>> CanaryKeeper::Start(const std::string& cgroup, uint16_t dns_port) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
    return ErrnoStatus(errno, "socketpair");
  UniqueFd ours(ends[0]), theirs(ends[1]);
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
    Keeper keeper(cgroup, dns_port, std::move(theirs));
    const std::string problem(keeper.Prepare().message());
    // An empty packet would look like the end.
    if (send(ends[1], problem.c_str(), problem.size() + 1, MSG_NOSIGNAL) > 0 && problem.empty())
      keeper.Run();
    rmdir(cgroup.c_str());
    _exit(0);
  }
  theirs.reset();
  std::unique_ptr<CanaryKeeper> keeper(new CanaryKeeper(cgroup, pid, std::move(ours)));
  char problem[256] = "its keeper did not start";
  const ssize_t told = recv(keeper->socket_.get(), problem, sizeof(problem) - 1, 0);
  return told == 1 ? absl::StatusOr<std::unique_ptr<CanaryKeeper>>(std::move(keeper)) : absl::InternalError(problem);
}

CanaryKeeper::~CanaryKeeper() {
  socket_.reset();
  waitpid(pid_, nullptr, 0);
}

absl::Status CanaryKeeper::Begin(bool quiet) {
  const char asked = quiet ? kSingQuietly : kSing;
  return send(socket_.get(), &asked, 1, MSG_NOSIGNAL) == 1 ? absl::OkStatus() : ErrnoStatus(errno, "asking its keeper");
}

absl::StatusOr<std::optional<int>> CanaryKeeper::End() {
  int status = 0;
  const ssize_t n = recv(socket_.get(), &status, sizeof(status), MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return std::nullopt;
  if (n != sizeof(status))
    return absl::UnavailableError("its keeper is gone");
  return status;
}

}  // namespace sandpiper
