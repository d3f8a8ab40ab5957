#include "userspace/base/clock.h"

namespace sandpiper {

std::string FormatTime(uint64_t unix_ns) {
  const time_t seconds = static_cast<time_t>(unix_ns / kSecond);
  tm t;
  gmtime_r(&seconds, &t);
  std::string out = "0000-00-00T00:00:00.000000000Z";
  // Each line has one: printf would take longer than the rest of the line.
  const auto put = [&](size_t begin, size_t digits, uint64_t number) {
    for (size_t i = digits; i-- > 0; number /= 10)
      out[begin + i] = static_cast<char>('0' + number % 10);
  };
  put(0, 4, static_cast<uint64_t>(t.tm_year + 1900));
  put(5, 2, static_cast<uint64_t>(t.tm_mon + 1));
  put(8, 2, static_cast<uint64_t>(t.tm_mday));
  put(11, 2, static_cast<uint64_t>(t.tm_hour));
  put(14, 2, static_cast<uint64_t>(t.tm_min));
  put(17, 2, static_cast<uint64_t>(t.tm_sec));
  put(20, 9, unix_ns % kSecond);
  return out;
}

}  // namespace sandpiper
