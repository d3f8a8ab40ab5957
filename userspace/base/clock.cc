#include "userspace/base/clock.h"

#include <chrono>

namespace sandpiper {

std::string FormatTime(uint64_t unix_ns) {
  const std::chrono::sys_time<std::chrono::nanoseconds> time{std::chrono::nanoseconds(unix_ns)};
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date{day};
  const std::chrono::hh_mm_ss clock{time - day};
  std::string out = "0000-00-00T00:00:00.000000000Z";
  const auto put = [&](size_t begin, size_t digits, uint64_t number) {
    for (size_t i = digits; i-- > 0; number /= 10)
      out[begin + i] = static_cast<char>('0' + number % 10);
  };
  put(0, 4, static_cast<uint64_t>(static_cast<int>(date.year())));
  put(5, 2, static_cast<unsigned>(date.month()));
  put(8, 2, static_cast<unsigned>(date.day()));
  put(11, 2, static_cast<uint64_t>(clock.hours().count()));
  put(14, 2, static_cast<uint64_t>(clock.minutes().count()));
  put(17, 2, static_cast<uint64_t>(clock.seconds().count()));
  put(20, 9, static_cast<uint64_t>(clock.subseconds().count()));
  return out;
}

}  // namespace sandpiper
