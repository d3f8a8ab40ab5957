// SPDX-License-Identifier: Apache-2.0
#include "userspace/base/diagnostics.h"

#include <spdlog/formatter.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "userspace/base/clock.h"
#include "userspace/base/text.h"

namespace sandpiper {
namespace {

// The words that records use for their levels.
const char* Word(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::debug:
      return "debug";
    case spdlog::level::warn:
      return "warn";
    case spdlog::level::err:
      return "error";
    default:
      return "info";
  }
}

spdlog::level::level_enum ToSpdlog(DiagnosticLevel level) {
  switch (level) {
    case DiagnosticLevel::kDebug:
      return spdlog::level::debug;
    case DiagnosticLevel::kInfo:
      return spdlog::level::info;
    case DiagnosticLevel::kWarn:
      return spdlog::level::warn;
    case DiagnosticLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

// The time is formatted by base/clock: spdlog's own patterns read the time zone's file at the
// first message, when the filter of system calls may be in force already.
class LineFormatter : public spdlog::formatter {
 public:
  explicit LineFormatter(DiagnosticFormat format) : format_(format) {}

  void format(const spdlog::details::log_msg& msg, spdlog::memory_buf_t& out) override {
    const auto unix_time = msg.time.time_since_epoch();
    const auto nanoseconds =
        std::chrono::duration_cast<std::chrono::nanoseconds>(unix_time).count();
    const auto time = FormatTime(static_cast<uint64_t>(nanoseconds));
    const auto append = [&out](std::string_view text) { out.append(text.begin(), text.end()); };
    if (format_ == DiagnosticFormat::kJson) {
      append("{\"ts\":\"");
      append({time.data(), time.size()});
      append("\",\"level\":\"");
      append(Word(msg.level));
      append("\",\"msg\":\"");
      AppendQuoted({msg.payload.data(), msg.payload.size()}, &out);
      append("\"}\n");
      return;
    }
    append({time.data(), time.size()});
    append(" ");
    append(Word(msg.level));
    append(" sandpiper: ");
    append({msg.payload.data(), msg.payload.size()});
    append("\n");
  }

  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<LineFormatter>(format_);
  }

 private:
  // Control characters were escaped before: quotes and backslashes are left to do.
  static void AppendQuoted(std::string_view text, spdlog::memory_buf_t* out) {
    for (const char c : text) {
      if (c == '"' || c == '\\')
        out->push_back('\\');
      out->push_back(c);
    }
  }

  const DiagnosticFormat format_;
};

// Control characters and invalid UTF-8 become \xHH. A backslash of the message stays as it is:
// unlike records, messages need not be reversible.
std::string OneLine(std::string_view message) {
  if (IsPlain(message))
    return std::string(message);
  std::string out;
  for (size_t at = 0; at < message.size();) {
    const size_t backslash = std::min(message.find('\\', at), message.size());
    out += Escape(message.substr(at, backslash - at));
    if (backslash < message.size())
      out += '\\';
    at = backslash + 1;
  }
  return out;
}

std::string NameOf(const CallSite& site) {
  return std::string(site.file) + ":" + std::to_string(site.line);
}

spdlog::sink_ptr MakeSink(std::ostream* out) {
  if (out)
    return std::make_shared<spdlog::sinks::ostream_sink_mt>(*out);
  return std::make_shared<spdlog::sinks::stderr_sink_mt>();
}

// Never destroyed: threads of libraries may log while the process exits.
Diagnostics& ProcessDiagnostics() {
  static auto* const diagnostics =
      new Diagnostics(nullptr, {}, [] { return std::chrono::steady_clock::now(); });
  return *diagnostics;
}

}  // namespace

Diagnostics::Diagnostics(std::ostream* out, const DiagnosticOptions& options, Clock clock)
    : logger_(std::make_shared<spdlog::logger>("sandpiper", MakeSink(out))),
      clock_(std::move(clock)) {
  logger_->flush_on(spdlog::level::debug);
  Configure(options);
}

void Diagnostics::Configure(const DiagnosticOptions& options) {
  const std::lock_guard lock(mutex_);
  logger_->set_formatter(std::make_unique<LineFormatter>(options.format));
  logger_->set_level(options.verbose ? spdlog::level::debug : spdlog::level::info);
}

void Diagnostics::Write(DiagnosticLevel level, const std::string& source,
                        std::string_view message) {
  const std::lock_guard lock(mutex_);
  if (!logger_->should_log(ToSpdlog(level)))
    return;
  const auto now = clock_();
  const auto [it, is_new] = sources_.try_emplace(source);
  Source& from = it->second;
  if (is_new)
    from.refilled = now;
  Refill(&from, now);
  if (from.left == 0) {
    ++from.suppressed;
    return;
  }
  ReportSuppressed(source, &from);
  --from.left;
  const std::string line = OneLine(message);
  logger_->log(ToSpdlog(level), spdlog::string_view_t(line.data(), line.size()));
}

void Diagnostics::Flush() {
  const std::lock_guard lock(mutex_);
  for (auto& [name, source] : sources_)
    ReportSuppressed(name, &source);
}

void Diagnostics::Refill(Source* source, std::chrono::steady_clock::time_point now) {
  const auto earned = (now - source->refilled) / kDiagnosticRefill;
  if (earned <= 0)
    return;
  source->left = static_cast<int>(std::min<int64_t>(kDiagnosticBurst, source->left + earned));
  source->refilled += earned * kDiagnosticRefill;
}

void Diagnostics::ReportSuppressed(const std::string& name, Source* source) {
  if (source->suppressed == 0)
    return;
  const std::string line = std::to_string(source->suppressed) + " messages from " + name +
                           " were suppressed by the rate limit";
  source->suppressed = 0;
  logger_->log(spdlog::level::warn, spdlog::string_view_t(line.data(), line.size()));
}

void ConfigureDiagnostics(const DiagnosticOptions& options) {
  ProcessDiagnostics().Configure(options);
}

void FlushDiagnostics() { ProcessDiagnostics().Flush(); }

void LogDebug(std::string_view message, CallSite site) {
  ProcessDiagnostics().Write(DiagnosticLevel::kDebug, NameOf(site), message);
}

void LogInfo(std::string_view message, CallSite site) {
  ProcessDiagnostics().Write(DiagnosticLevel::kInfo, NameOf(site), message);
}

void LogWarn(std::string_view message, CallSite site) {
  ProcessDiagnostics().Write(DiagnosticLevel::kWarn, NameOf(site), message);
}

void LogError(std::string_view message, CallSite site) {
  ProcessDiagnostics().Write(DiagnosticLevel::kError, NameOf(site), message);
}

WarningSink LogWarnings(std::string component) {
  return [component = std::move(component)](const std::string& message) {
    ProcessDiagnostics().Write(DiagnosticLevel::kWarn, component, message);
  };
}

}  // namespace sandpiper
