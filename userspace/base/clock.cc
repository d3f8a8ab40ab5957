// SPDX-License-Identifier: Apache-2.0
#include "userspace/base/clock.h"

#include <chrono>
#include <cstring>

namespace sandpiper {

std::array<char, 30> FormatTime(uint64_t unix_ns) {
  // "00" to "99".
  static constexpr auto kPairs = [] {
    std::array<char, 200> pairs = {};
    for (size_t i = 0; i < 100; ++i) {
      pairs[2 * i] = static_cast<char>('0' + i / 10);
      pairs[2 * i + 1] = static_cast<char>('0' + i % 10);
    }
    return pairs;
  }();
  const std::chrono::sys_time<std::chrono::nanoseconds> time{std::chrono::nanoseconds(unix_ns)};
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date{day};
  const std::chrono::hh_mm_ss clock{time - day};
  std::array<char, 30> out;
  memcpy(out.data(), "0000-00-00T00:00:00.000000000Z", out.size());
  const auto put = [&](size_t at, uint32_t below_100) {
    memcpy(&out[at], &kPairs[size_t{2} * below_100], 2);
  };
  const auto year = static_cast<uint32_t>(static_cast<int>(date.year()));
  const auto ns = static_cast<uint32_t>(clock.subseconds().count());
  put(0, year / 100);
  put(2, year % 100);
  put(5, static_cast<unsigned>(date.month()));
  put(8, static_cast<unsigned>(date.day()));
  put(11, static_cast<uint32_t>(clock.hours().count()));
  put(14, static_cast<uint32_t>(clock.minutes().count()));
  put(17, static_cast<uint32_t>(clock.seconds().count()));
  put(20, ns / 10'000'000);
  put(22, ns / 100'000 % 100);
  put(24, ns / 1'000 % 100);
  put(26, ns / 10 % 100);
  out[28] = static_cast<char>('0' + ns % 10);
  return out;
}

}  // namespace sandpiper
