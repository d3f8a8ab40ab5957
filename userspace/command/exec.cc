// SPDX-License-Identifier: Apache-2.0
// sandpiper exec: runs a command as a sandbox and reports what it did.
#include <linux/capability.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "userspace/base/clock.h"
#include "userspace/base/diagnostics.h"
#include "userspace/base/fd.h"
#include "userspace/base/text.h"
#include "userspace/collector/collector.h"
#include "userspace/command/commands.h"
#include "userspace/command/errors.h"
#include "userspace/command/held_child.h"
#include "userspace/command/output_file.h"
#include "userspace/command/report.h"
#include "userspace/command/signals.h"
#include "userspace/export/metrics_json.h"
#include "userspace/export/ndjson.h"
#include "userspace/sandbox/cgroup_fs.h"
#include "userspace/session/attempt_log.h"

namespace sandpiper {
namespace {

// Connections close with the last process of the sandbox. One that is still open after this time is
// kept open by its peer, and is reported as open.
constexpr std::chrono::milliseconds kConnectionsClose{300};

constexpr size_t kRecordsOnPage = 20'000;   // more records make a browser slow
constexpr size_t kAttemptsOnPage = 20'000;  // and so do more dots

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

std::string MakeReport(ReportFormat format, const ReportInput& input, const PageLog& log) {
  switch (format) {
    case ReportFormat::kTable:
      return TableReport(input);
    case ReportFormat::kJson:
      return JsonReport(input);
    case ReportFormat::kHtml:
      return HtmlReport(input, log);
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

  const auto redaction = ReportRedaction::Make(config, options.show_secrets);
  if (!redaction.ok())
    return Fail(redaction.status(), kExitExecFailure);
  // All files are opened before the command runs, because its report would be lost otherwise.
  auto report = OutputFile::Open(options.report_file, "the report");
  auto events = OutputFile::Open(options.events_file, "the file of records");
  auto metrics = OutputFile::Open(options.metrics_file, "the file of metrics");
  for (const auto* const file : {&report, &events, &metrics}) {
    if (!file->ok())
      return Fail(file->status(), kExitExecFailure);
  }
  auto collector =
      Collector::Start(config, options.events_file.empty() ? nullptr : events->stream());
  if (!collector.ok())
    return Fail(collector.status(), kExitExecFailure);
  const bool is_page = options.format == ReportFormat::kHtml;
  PageLog log;
  if (is_page) {
    const auto add = [&log](const LogRecord& record) {
      if (log.records.size() < kRecordsOnPage)
        log.records.push_back(ToJson(record));
      else
        ++log.omitted_records;
    };
    if (options.show_secrets)
      (*collector)->outputs().SetUnmaskedWatcher(add);
    else
      (*collector)->outputs().SetWatcher(add);
  }
  auto cgroup = OwnedCgroup::Create(absl::StrCat(*mount, "/sandpiper-exec-", getpid()));
  if (!cgroup.ok())
    return Fail(cgroup.status(), kExitExecFailure);
  const Sandbox sandbox = {.id = options.id, .cgroup = cgroup->path(), .sidecars = {}};
  absl::Status status = (*collector)->Watch({sandbox}, {}, SandboxScope::kOwnNamespace, nullptr);
  status.Update(status.ok() ? cgroup->AddProcess(child->pid()) : absl::OkStatus());
  // The capabilities are needed to kill processes that the command leaves behind, and to remove the
  // cgroup.
  status.Update(status.ok() ? (*collector)->Confine({CAP_KILL, CAP_DAC_OVERRIDE})
                            : absl::OkStatus());
  if (!status.ok())
    return Fail(status, kExitExecFailure);

  SandboxSession& session = *(*collector)->pipeline().sandboxes().begin()->second;
  AttemptLog attempts(&session.processes(), kAttemptsOnPage);
  if (is_page)
    session.ObserveAttempts(&attempts);

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
  log.attempts = attempts.All();
  log.omitted_attempts = attempts.omitted();
  const ReportInput input = {.sandbox = session,
                             .probes = pipeline.ProbeStates(),
                             .redaction = *redaction,
                             .command = options.command,
                             .wait_status = wait_status,
                             .ended_ns = ended_ns,
                             .unattributed = pipeline.unattributed(),
                             .programs = pipeline.ReadProgramRuns()};
  report->Write(MakeReport(options.format, input, log));
  if (log.omitted_records > 0)
    fprintf(stderr,
            "sandpiper: report truncated, %llu records omitted; --events FILE has all records\n",
            static_cast<unsigned long long>(log.omitted_records));
  if (!options.metrics_file.empty())
    metrics->Write(ToJson((*collector)->outputs().Metrics(ended_ns)));
  for (const std::string& problem : (*collector)->outputs().Problems())
    fprintf(stderr, "sandpiper: %s\n", problem.c_str());
  FlushDiagnostics();
  return ExitStatus(wait_status);
}

}  // namespace sandpiper
