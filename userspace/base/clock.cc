#include "userspace/base/clock.h"

#include "absl/strings/str_format.h"

namespace sandpiper {

std::string FormatTime(uint64_t unix_ns) {
  const time_t seconds = static_cast<time_t>(unix_ns / kSecond);
  tm t;
  gmtime_r(&seconds, &t);
  return absl::StrFormat("%04d-%02d-%02dT%02d:%02d:%02d.%09dZ", t.tm_year + 1900, t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec,
                         unix_ns % kSecond);
}

}  // namespace sandpiper
