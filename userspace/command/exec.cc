// SPDX-License-Identifier: Apache-2.0
// sandpiper exec: runs a command as a sandbox of its own and reports what it did.
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <memory>

#include "userspace/base/clock.h"
#include "userspace/base/fd.h"
#include "userspace/base/text.h"
#include "userspace/collector/collector.h"
#include "userspace/command/commands.h"
#include "userspace/command/errors.h"
#include "userspace/command/report.h"
#include "userspace/command/signals.h"
#include "userspace/export/metrics_json.h"
#include "userspace/export/ndjson.h"
#include "userspace/sandbox/cgroup_fs.h"

namespace sandpiper {
namespace {

// A child that has not run anything yet: it waits for Go, so that it is in its cgroup, and watched,
// before its first instruction.
class HeldChild {
 public:
  // Forks at once, before this process has threads.
  static absl::StatusOr<HeldChild> Fork(const std::vector<std::string>& command) {
    int go[2], failed[2];
    if (pipe2(go, O_CLOEXEC) || pipe2(failed, O_CLOEXEC))
      return ErrnoStatus(errno, "pipe2");
    HeldChild child;
    child.go_ = UniqueFd(go[1]);
    child.failed_ = UniqueFd(failed[0]);
    const UniqueFd wait(go[0]), tell(failed[1]);
    std::vector<char*> argv;
    for (const std::string& arg : command)
      argv.push_back(const_cast<char*>(arg.c_str()));
    argv.push_back(nullptr);
    child.pid_ = fork();
    if (child.pid_ < 0)
      return ErrnoStatus(errno, "fork");
    if (child.pid_ > 0)
      return child;
    child.go_.reset();  // so that the parent's end is the only one, and its death is the end of
                        // file here
    char byte;
    if (read(wait.get(), &byte, 1) != 1)
      _exit(kExitExecFailure);  // the parent gave up
    execvp(argv[0], argv.data());
    const int error = errno;
    [[maybe_unused]] const ssize_t told = write(tell.get(), &error, sizeof(error));
    _exit(error == ENOENT ? 127 : 126);
  }

  void Go() {
    [[maybe_unused]] const ssize_t written = write(go_.get(), "g", 1);
    go_.reset();
  }
  // Waits for the exec to succeed (0) or fail (errno).
  int ExecError() const {
    int error = 0;
    return read(failed_.get(), &error, sizeof(error)) == sizeof(error) ? error : 0;
  }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  UniqueFd go_, failed_;
};

// A connection that closes with its last process does so at once; one that a peer keeps open is
// reported as open.
constexpr std::chrono::milliseconds kSettle{300};

// What a browser can still show.
constexpr size_t kRecordsOnPage = 20'000;

bool WriteOut(const std::string& file, const std::string& text) {
  if (file.empty()) {
    fputs(text.c_str(), stdout);
    return fflush(stdout) == 0;
  }
  std::ofstream out(file, std::ios::binary);
  out << text;
  out.close();
  if (!out)
    fprintf(stderr, "sandpiper: writing %s failed\n", file.c_str());
  return static_cast<bool>(out);
}

// A long run is not silent: what was seen so far, now and then, on stderr.
class Progress {
 public:
  Progress(std::optional<std::chrono::seconds> every, Pipeline* pipeline)
      : pipeline_(pipeline),
        began_ns_(BootNow()),
        timer_(timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK)) {
    const time_t seconds = every ? every->count() : isatty(STDERR_FILENO) ? kProgress.count() : 0;
    const itimerspec time = {.it_interval = {.tv_sec = seconds, .tv_nsec = 0},
                             .it_value = {.tv_sec = seconds, .tv_nsec = 0}};
    timerfd_settime(timer_.get(), 0, &time, nullptr);
  }

  int fd() const { return timer_.get(); }
  void Tell() const {
    uint64_t expired;
    [[maybe_unused]] const ssize_t n = read(timer_.get(), &expired, sizeof(expired));
    const v1::Sandbox sandbox = pipeline_->Describe(0).sandboxes(0);
    fprintf(stderr,
            "sandpiper: %llu s: %llu programs, %llu lookups, %llu connection attempts to %llu "
            "destinations, %llu denied\n",
            Number((BootNow() - began_ns_) / kSecond), Number(sandbox.execs()),
            Number(sandbox.lookups()), Number(sandbox.attempts()), Number(sandbox.destinations()),
            Number(sandbox.denied()));
  }

 private:
  static constexpr std::chrono::seconds kProgress{10};
  static unsigned long long Number(uint64_t n) { return n; }

  Pipeline* const pipeline_;
  const uint64_t began_ns_;
  const UniqueFd timer_;
};

// Until the last process is gone. The first signal is CMD's business (a terminal sends SIGINT to it
// too, SIGTERM is passed on); the second one ends everything that is left.
void WaitForEnd(Collector* collector, OwnedCgroup* cgroup, pid_t child, int signal_fd,
                const Progress& progress) {
  int signals = 0;
  while (cgroup->IsPopulated()) {
    // A file of cgroupfs always has POLLIN; POLLPRI tells of a change.
    const pollfd ends[] = {{.fd = cgroup->events_fd(), .events = POLLPRI, .revents = 0},
                           {.fd = signal_fd, .events = POLLIN, .revents = 0},
                           {.fd = progress.fd(), .events = POLLIN, .revents = 0}};
    const size_t happened = collector->RunUntil(ends);
    if (happened == 2)
      progress.Tell();
    signalfd_siginfo info;
    if (happened != 1 || read(signal_fd, &info, sizeof(info)) != sizeof(info))
      continue;
    if (++signals > 1)
      cgroup->KillAll();
    else if (info.ssi_signo == SIGTERM)
      kill(child, SIGTERM);
    else if (isatty(STDERR_FILENO))
      fputs(
          "\nsandpiper: waiting for the command to end; Ctrl-C again ends all of it, and then "
          "comes the report\n",
          stderr);
  }
}

int ExitStatus(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

}  // namespace

int RunExec(Config config, const ExecOptions& options) {
  WarnAll(config);
  config.probes.limit_sandboxes = false;  // there is one only
  config.spool.path.clear();              // what is left is in the report
  config.recent_records = 0;
  const auto mount = FindCgroupMount();
  if (!mount.ok())
    return Fail(mount.status(), kExitExecFailure);
  auto child = HeldChild::Fork(options.command);
  if (!child.ok())
    return Fail(child.status(), kExitExecFailure);
  const UniqueFd signal_fd = TakeSignals({SIGTERM, SIGINT});

  std::unique_ptr<FILE, int (*)(FILE*)> events(nullptr, fclose);
  if (!options.events_file.empty()) {
    events.reset(fopen(options.events_file.c_str(), "we"));
    if (!events)
      return Fail(ErrnoStatus(errno, absl::StrCat("opening ", options.events_file)),
                  kExitExecFailure);
  }
  auto collector = Collector::Start(config, events.get());
  if (!collector.ok())
    return Fail(collector.status(), kExitExecFailure);
  std::vector<std::string> records;  // for the page
  uint64_t beyond = 0;
  if (options.format == ReportFormat::kHtml) {
    (*collector)->outputs().SetWatcher([&](const LogRecord& record) {
      if (records.size() < kRecordsOnPage)
        records.push_back(ToJson(record));
      else
        ++beyond;
    });
  }
  auto cgroup = OwnedCgroup::Create(absl::StrCat(*mount, "/sandpiper-exec-", getpid()));
  if (!cgroup.ok())
    return Fail(cgroup.status(), kExitExecFailure);
  const Sandbox sandbox = {.id = options.id, .cgroup = cgroup->path(), .sidecars = {}};
  absl::Status status = (*collector)->Watch({sandbox}, {}, SandboxScope::kOwnNamespace, nullptr);
  status.Update(status.ok() ? cgroup->AddProcess(child->pid()) : absl::OkStatus());
  // To end what the command leaves behind, to remove its cgroup, and to write the report where the
  // user wants it.
  status.Update(status.ok() ? (*collector)->Confine({CAP_KILL, CAP_DAC_OVERRIDE})
                            : absl::OkStatus());
  if (!status.ok())
    return Fail(status, kExitExecFailure);

  child->Go();
  const int exec_error = child->ExecError();
  WaitForEnd(collector->get(), &*cgroup, child->pid(), signal_fd.get(),
             Progress(options.progress, &(*collector)->pipeline()));
  const uint64_t ended_ns = BootNow();
  (*collector)->WaitForConnections(kSettle);
  int wait_status = 0;
  waitpid(child->pid(), &wait_status, 0);
  (*collector)->Shutdown();
  if (exec_error != 0) {
    Fail(ErrnoStatus(exec_error, absl::StrCat("running ", Escape(options.command[0]))), 0);
    return ExitStatus(wait_status);
  }

  Pipeline& pipeline = (*collector)->pipeline();
  const ReportInput input = {.sandbox = *pipeline.sandboxes().begin()->second,
                             .probes = pipeline.ProbeStates(),
                             .command = options.command,
                             .wait_status = wait_status,
                             .ended_ns = ended_ns,
                             .unattributed = pipeline.unattributed(),
                             .programs = pipeline.ReadProgramRuns()};
  const std::string report = options.format == ReportFormat::kJson   ? JsonReport(input)
                             : options.format == ReportFormat::kHtml ? HtmlReport(input, records)
                                                                     : TableReport(input);
  WriteOut(options.report_file, report);
  if (beyond > 0)
    fprintf(stderr,
            "sandpiper: %llu records more are not on the page; --events FILE has them all\n",
            static_cast<unsigned long long>(beyond));
  if (!options.metrics_file.empty())
    WriteOut(options.metrics_file, ToJson((*collector)->outputs().Metrics(ended_ns)));
  for (const std::string& problem : (*collector)->outputs().Problems())
    fprintf(stderr, "sandpiper: %s\n", problem.c_str());
  return ExitStatus(wait_status);
}

}  // namespace sandpiper
