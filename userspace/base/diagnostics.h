// SPDX-License-Identifier: Apache-2.0
// Messages about sandpiper itself, for its operator, on stderr. They are not records: --log-level
// does not concern them.
//
// The free functions write through one logger per process and may be called from any thread.
// Each source of messages (a call site, or the component of a WarningSink) may write
// kDiagnosticBurst messages at once and one more every kDiagnosticRefill. Messages over that limit
// are counted, and the count is reported as soon as the source may write again.
#ifndef SANDPIPER_USERSPACE_BASE_DIAGNOSTICS_H_
#define SANDPIPER_USERSPACE_BASE_DIAGNOSTICS_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

namespace spdlog {
class logger;
}

namespace sandpiper {

enum class DiagnosticLevel { kDebug, kInfo, kWarn, kError };
// kJson: one object a line, with the keys ts, level and msg, which records have too.
enum class DiagnosticFormat { kText, kJson };

struct DiagnosticOptions {
  DiagnosticFormat format = DiagnosticFormat::kText;
  bool verbose = false;  // debug messages too
};

constexpr int kDiagnosticBurst = 20;
constexpr std::chrono::seconds kDiagnosticRefill{3};

// Takes a message that an operator has to see. Components take one instead of writing to stderr,
// so that tests see the messages.
using WarningSink = std::function<void(const std::string& message)>;

// The logger itself. Programs use the free functions below; tests give their own stream and clock.
class Diagnostics {
 public:
  using Clock = std::function<std::chrono::steady_clock::time_point()>;

  // Writes to `out`, which outlives this object, or to stderr where it is null.
  Diagnostics(std::ostream* out, const DiagnosticOptions& options, Clock clock);

  void Configure(const DiagnosticOptions& options);
  // `source` identifies the origin for the rate limit. Line breaks and control characters of the
  // message are escaped, so that one message is one line.
  void Write(DiagnosticLevel level, const std::string& source, std::string_view message);
  // Reports all counts of suppressed messages. Call at the end of the process.
  void Flush();

 private:
  struct Source {
    int left = kDiagnosticBurst;
    std::chrono::steady_clock::time_point refilled;
    uint64_t suppressed = 0;
  };

  void Refill(Source* source, std::chrono::steady_clock::time_point now);
  void ReportSuppressed(const std::string& name, Source* source);

  std::shared_ptr<spdlog::logger> logger_;
  const Clock clock_;
  std::mutex mutex_;
  std::unordered_map<std::string, Source> sources_;
};

void ConfigureDiagnostics(const DiagnosticOptions& options);
void FlushDiagnostics();

// The place of a call. The compilers' builtins are used because clang 14 has no
// std::source_location.
struct CallSite {
  const char* file;
  int line;
  static CallSite Current(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return {file, line};
  }
};

void LogDebug(std::string_view message, CallSite site = CallSite::Current());
void LogInfo(std::string_view message, CallSite site = CallSite::Current());
void LogWarn(std::string_view message, CallSite site = CallSite::Current());
void LogError(std::string_view message, CallSite site = CallSite::Current());

// A sink that logs at warn level. All messages of one component share its rate limit.
WarningSink LogWarnings(std::string component);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_BASE_DIAGNOSTICS_H_
