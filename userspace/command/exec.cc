// SPDX-License-Identifier: Apache-2.0
// sandpiper exec: runs a command as a sandbox and reports what it did.
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
#include "userspace/base/diagnostics.h"
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

// A child process that waits for Start before it executes the command. In the meantime it is moved
// to its cgroup and watched, so that no event of the command is lost.
class HeldChild {
 public:
  // Forks at once. Call this before the process starts threads.
  static absl::StatusOr<HeldChild> Fork(const std::vector<std::string>& command) {
    int start[2];
    int error_pipe[2];
    if (pipe2(start, O_CLOEXEC) || pipe2(error_pipe, O_CLOEXEC))
      return ErrnoStatus(errno, "pipe2");
    HeldChild child;
    child.start_ = UniqueFd(start[1]);
    child.error_ = UniqueFd(error_pipe[0]);
    const UniqueFd wait_fd(start[0]);
    const UniqueFd error_fd(error_pipe[1]);
    std::vector<char*> argv;
    for (const std::string& arg : command)
      argv.push_back(const_cast<char*>(arg.c_str()));
    argv.push_back(nullptr);
    child.pid_ = fork();
    if (child.pid_ < 0)
      return ErrnoStatus(errno, "fork");
    if (child.pid_ > 0)
      return child;
    // Only the parent has the other end now, so that its exit is an end of file here.
    child.start_.reset();
    char byte;
    if (read(wait_fd.get(), &byte, 1) != 1)
      _exit(kExitExecFailure);  // the parent failed
    execvp(argv[0], argv.data());
    const int error = errno;
    [[maybe_unused]] const ssize_t written = write(error_fd.get(), &error, sizeof(error));
    _exit(error == ENOENT ? 127 : 126);
  }

  void Start() {
    [[maybe_unused]] const ssize_t written = write(start_.get(), "s", 1);
    start_.reset();
  }
  // Waits until the command is executed. Returns 0, or the errno of the failure.
  int WaitForExec() const {
    int error = 0;
    return read(error_.get(), &error, sizeof(error)) == sizeof(error) ? error : 0;
  }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  UniqueFd start_;
  UniqueFd error_;
};

// Connections close with the last process of the sandbox. One that is still open after this time is
// kept open by its peer, and is reported as open.
constexpr std::chrono::milliseconds kConnectionsClose{300};

constexpr size_t kRecordsOnPage = 20'000;  // more records make a browser slow

// Writes to a file, or to stdout if `file` is empty.
bool WriteOutput(const std::string& file, const std::string& text) {
  if (file.empty()) {
    fputs(text.c_str(), stdout);
    return fflush(stdout) == 0;
  }
  std::ofstream out(file, std::ios::binary);
  out << text;
  out.close();
  if (!out)
    fprintf(stderr, "sandpiper: cannot write %s\n", file.c_str());
  return static_cast<bool>(out);
}

// Prints the counts of the sandbox on stderr at an interval, so that a long run is not silent.
class Progress {
 public:
  Progress(std::optional<std::chrono::seconds> interval, Pipeline* pipeline)
      : pipeline_(pipeline),
        began_ns_(BootNow()),
        timer_(timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK)) {
    time_t seconds = isatty(STDERR_FILENO) ? kDefaultInterval.count() : 0;
    if (interval)
      seconds = interval->count();
    const itimerspec time = {.it_interval = {.tv_sec = seconds, .tv_nsec = 0},
                             .it_value = {.tv_sec = seconds, .tv_nsec = 0}};
    timerfd_settime(timer_.get(), 0, &time, nullptr);
  }

  // Readable when PrintProgress is due.
  int fd() const { return timer_.get(); }
  void PrintProgress() const {
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
  static constexpr std::chrono::seconds kDefaultInterval{10};
  static unsigned long long Number(uint64_t n) { return n; }

  Pipeline* const pipeline_;
  const uint64_t began_ns_;
  const UniqueFd timer_;
};

// Returns when the last process of the cgroup has exited. The first signal is left to the command:
// a terminal sends SIGINT to it too, and SIGTERM is forwarded. The second signal kills all
// processes.
void WaitForEnd(Collector* collector, OwnedCgroup* cgroup, pid_t child, int signal_fd,
                const Progress& progress) {
  int signals = 0;
  while (cgroup->IsPopulated()) {
    // A file of cgroupfs always reports POLLIN. POLLPRI reports a change.
    const pollfd waited[] = {{.fd = cgroup->events_fd(), .events = POLLPRI, .revents = 0},
                             {.fd = signal_fd, .events = POLLIN, .revents = 0},
                             {.fd = progress.fd(), .events = POLLIN, .revents = 0}};
    const size_t ready = collector->RunUntil(waited);
    if (ready == 2)
      progress.PrintProgress();
    signalfd_siginfo info;
    if (ready != 1 || read(signal_fd, &info, sizeof(info)) != sizeof(info))
      continue;
    if (++signals > 1)
      cgroup->KillAll();
    else if (info.ssi_signo == SIGTERM)
      kill(child, SIGTERM);
    else if (isatty(STDERR_FILENO))
      fputs(
          "\nsandpiper: waiting for the command to exit; press Ctrl-C again to kill it and print "
          "the report\n",
          stderr);
  }
}

std::string MakeReport(ReportFormat format, const ReportInput& input,
                       const std::vector<std::string>& records) {
  switch (format) {
    case ReportFormat::kTable:
      return TableReport(input);
    case ReportFormat::kJson:
      return JsonReport(input);
    case ReportFormat::kHtml:
      return HtmlReport(input, records);
  }
  return "";
}

// As a shell reports the status of a command.
int ExitStatus(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

}  // namespace

int RunExec(Config config, const ExecOptions& options) {
  ConfigureDiagnostics(config.diagnostics);
  PrintWarnings(config);
  config.probes.limit_sandboxes = false;  // there is only one sandbox
  config.spool.path.clear();              // the report has the unsent records
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
  uint64_t omitted = 0;
  if (options.format == ReportFormat::kHtml) {
    (*collector)->outputs().SetWatcher([&](const LogRecord& record) {
      if (records.size() < kRecordsOnPage)
        records.push_back(ToJson(record));
      else
        ++omitted;
    });
  }
  auto cgroup = OwnedCgroup::Create(absl::StrCat(*mount, "/sandpiper-exec-", getpid()));
  if (!cgroup.ok())
    return Fail(cgroup.status(), kExitExecFailure);
  const Sandbox sandbox = {.id = options.id, .cgroup = cgroup->path(), .sidecars = {}};
  absl::Status status = (*collector)->Watch({sandbox}, {}, SandboxScope::kOwnNamespace, nullptr);
  status.Update(status.ok() ? cgroup->AddProcess(child->pid()) : absl::OkStatus());
  // The capabilities are needed to kill processes that the command leaves behind, to remove the
  // cgroup, and to write the report to the user's file.
  status.Update(status.ok() ? (*collector)->Confine({CAP_KILL, CAP_DAC_OVERRIDE})
                            : absl::OkStatus());
  if (!status.ok())
    return Fail(status, kExitExecFailure);

  child->Start();
  const int exec_error = child->WaitForExec();
  WaitForEnd(collector->get(), &*cgroup, child->pid(), signal_fd.get(),
             Progress(options.progress, &(*collector)->pipeline()));
  const uint64_t ended_ns = BootNow();
  (*collector)->WaitForConnections(kConnectionsClose);
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
  WriteOutput(options.report_file, MakeReport(options.format, input, records));
  if (omitted > 0)
    fprintf(stderr,
            "sandpiper: report truncated, %llu records omitted; --events FILE has all records\n",
            static_cast<unsigned long long>(omitted));
  if (!options.metrics_file.empty())
    WriteOutput(options.metrics_file, ToJson((*collector)->outputs().Metrics(ended_ns)));
  for (const std::string& problem : (*collector)->outputs().Problems())
    fprintf(stderr, "sandpiper: %s\n", problem.c_str());
  FlushDiagnostics();
  return ExitStatus(wait_status);
}

}  // namespace sandpiper
